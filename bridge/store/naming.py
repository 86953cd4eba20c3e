"""Which correlation an alert belongs to when its mapping's `correlation.id` has changed. Pure.

    1  the alert's ID is a correlation's own                            that one
    2  its ID leads to another, which is live                           that one: it was carried over before
    3  the mapping says what the ID was formerly, and that is known     that one, and from now on this ID leads to it
    4  else                                                             a new one; its former IDs lead to it as well

Rule 4's last clause serves the alerts that a process with the old revision still maps, or that come out of quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.alert import MappedAlert, key_of
from bridge.store.correlation_state import CorrelationState

Pair = tuple[str, str]  # tenant, key


class Naming:
    """Names the alerts of one batch, one after the other."""

    def __init__(self, known: Mapping[Pair, CorrelationState]) -> None:
        self._known = known  # by all keys of the batch, former ones too, as they are registered
        self.states: dict[Pair, CorrelationState] = {}  # by the keys of alerts named so far, former ones too

    def name(self, mapped: MappedAlert, *, tenant: str, source: str, mapping: str) -> CorrelationState:
        pair = (tenant, key_of(mapped.correlation_id))
        if (named := self.states.get(pair)) is not None:
            return named
        formers = [(tenant, key_of(former)) for former in mapped.former_ids]
        registered = self._known.get(pair)
        if registered is not None and (registered.key == pair[1] or registered.is_live):
            self.states[pair] = registered
            return registered
        state = self._by_former(formers)
        if state is None:
            state = CorrelationState(
                id=None,
                tenant=tenant,
                key=pair[1],
                correlation_id=mapped.correlation_id,
                correlation_text=mapped.correlation_text,
                source=source,
                mapping=mapping,
                target=mapped.target,
            )
            for former in formers:
                self.states[former] = state
                state.new_keys += (former[1],)
        self.states[pair] = state
        if registered is not state:
            state.new_keys += (pair[1],)
            state.taken_keys += (pair[1],) if registered is not None else ()
        return state

    def _by_former(self, formers: Sequence[Pair]) -> CorrelationState | None:
        """By the first that is known, as the mapping names them."""
        for former in formers:
            if (state := self.states.get(former) or self._known.get(former)) is not None:
                return state
        return None

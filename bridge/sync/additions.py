"""What goes with an incident beside its record, once: the raw alert attached, observables linked, outputs sent.

    claim ─► look: is it there? ─► mark ─► send ─► added
                                 (nothing is sent after the mark's time)

A crash anywhere leaves a row that is still due: the next holder looks, and sends again only once what may have been
sent can no longer happen. A refusal is told and given up; the incident itself waits for nothing of this.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.alert import Observable
from bridge.correlation.retry import backoff
from bridge.errors import Ambiguous, BridgeError, Misconfigured, Permanent, Transient, Unmappable
from bridge.metrics import Metrics
from bridge.servicenow import attachments
from bridge.servicenow.breaker import HELD_CODES
from bridge.servicenow.observables import Observables
from bridge.servicenow.table import TableApi
from bridge.settings import Mode, Target
from bridge.store import additions
from bridge.store.additions import ATTACHMENT, OUTPUT, Addition
from bridge.store.engine import Store
from bridge.store.held import LEASE
from bridge.sync.alert import Alerts
from bridge.sync.outcomes import again_at, outcome_word, window_end
from bridge.sync.outputs import TRIES_MAX, sending_of, tried_enough, was_sent
from bridge.typed import decode

LOOK_SECONDS_MAX = 15.0
SEND_SECONDS_MAX = 60.0  # of one try, all its calls together; what is left after it goes on with the next
CALL_SECONDS_MAX = 15.0
TRY_SECONDS_MAX = LOOK_SECONDS_MAX + SEND_SECONDS_MAX
assert LEASE.total_seconds() > TRY_SECONDS_MAX, "a try must not outlive its lease"  # noqa: S101

ITS_OWN = frozenset({"attachment_too_large", "alert_unreadable", "internal_error"})  # codes that say nothing of others
Told = dict[str, object]  # for the log: names and numbers, never values
_log = logging.getLogger(__name__)


class Step(Protocol):
    """One kind of addition, at one incident."""

    def is_there(self, deadline: float) -> bool: ...

    def send(self, deadline: Callable[[], float]) -> Told:
        """`deadline` gives that of the next call. Raises as calls do."""


class Additions:
    """Works them one at a time; any number of workers may, side by side."""

    def __init__(
        self,
        *,
        store: Store,
        alerts: Alerts,
        targets: Mapping[str, Target],
        tables: Mapping[str, TableApi],
        metrics: Metrics,
        held: Callable[[], frozenset[str]],
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._targets = targets
        self._tables = {name: TableApi(api.client.beside()) for name, api in tables.items()}
        self._observables = {name: Observables(api) for name, api in self._tables.items()}
        self._metrics = metrics
        self._observed = frozenset(name for name, target in targets.items() if target.mode is Mode.OBSERVE)
        self._held = held  # targets whose instance is left alone for now
        self._monotonic = monotonic
        self._jitter = jitter
        self._warned: set[tuple[str, str, str, str]] = (
            set()
        )  # (what, target, kind, code) that the service's log was told

    def work(self) -> bool:
        """One try. False when nothing could be claimed. Raises Transient when the store does not answer."""
        silent = self._observed | self._held()  # nothing is sent there now, so it waits as where people have paused
        with self._store.glance() as tx:
            if not additions.anything_due(tx, self._store.now(tx), silent=silent):
                return False
        with self._store.transaction("addition_claim") as tx:
            held = additions.claim(tx, self._store.now(tx), silent=silent)
        if held is None:
            return False
        # The lease is durable. If we die here nothing was sent; it runs out and the next holder begins again.
        target = self._targets.get(held.target)
        held = replace(held, place=(target.instance, target.table)) if target is not None else held
        try:
            self._try(held)
        except (Permanent, Misconfigured) as error:
            self._give_up(held, error)
        except (Transient, Ambiguous) as error:  # it may be the store's, at a commit that was carried out
            self._try_again(held, error, sent_until=held.sent_until)
        except Exception as error:  # noqa: BLE001 (the loop's edge: a bug must neither stop the sync nor spin)
            _log.exception("the %s of %s came to nothing", held.kind, held.number)
            self._give_up(held, Permanent("internal_error", f"{type(error).__name__}: see the service's log"))
        return True

    def _try(self, held: Addition) -> None:
        target = self._targets.get(held.target)
        if target is None:
            raise Permanent("unknown_target", f"The target {held.target!r} is not in bridge.yaml any more.")
        step = self._step(held, target)
        now = self._store.moment()  # before the look: what is committed while it looks must not be missed
        if self._is_there(held, step):
            self._added(held, {"looked_up": True})
            return
        if held.sent_until is not None and now < (until := window_end(held.sent_until, target.late_commit)):
            pause = backoff(held.failures + 1, jitter=self._jitter())
            with self._store.transaction("addition_again") as tx:
                additions.look_again(tx, held, min(now + pause, until))
            return
        with self._store.transaction("addition_mark") as tx:
            now = self._store.now(tx)
            until = now + timedelta(seconds=SEND_SECONDS_MAX)
            end = self._monotonic() + SEND_SECONDS_MAX
            if not additions.about_to_send(tx, held, until, now):
                return  # another holder has it
        # The mark is durable, nothing was sent. If we die from here on, the next holder looks until what may have been
        # sent can no longer happen, and only then sends.
        try:
            told = step.send(lambda: min(self._monotonic() + CALL_SECONDS_MAX, end))
        except Ambiguous as error:
            self._try_again(held, error, sent_until=until, called=True)
        except Transient as error:
            self._try_again(held, error, sent_until=None, called=True)
        except Permanent as error:
            self._nothing_is_in_doubt(held, error)
            raise
        else:
            self._added(held, told)

    def _is_there(self, held: Addition, step: Step) -> bool:
        try:
            return step.is_there(self._monotonic() + LOOK_SECONDS_MAX)
        except Permanent:
            if held.sent_until is not None:  # it may be there, and nobody can look: never twice
                raise
            return False

    def _nothing_is_in_doubt(self, held: Addition, error: BridgeError) -> None:
        with self._store.transaction("addition_refused") as tx:
            additions.refused(tx, held, error, outcome_word(error), self._store.now(tx))

    def _step(self, held: Addition, target: Target) -> Step:
        api = self._tables[target.instance]
        if held.kind.startswith(OUTPUT):
            return sending_of(held, api=api, table=target.table, alerts=self._alerts)
        if held.kind == ATTACHMENT:
            return _Attachment(api=api, table=target.table, held=held, document=self._document(held))
        if held.content is None:
            raise Permanent("alert_erased", "What the alert observed was erased.")
        wanted = decode(held.content, list[Observable])
        app = target.staging.app if target.staging is not None else None
        return _Linking(observables=self._observables[target.instance], held=held, wanted=wanted, app=app)

    def _document(self, held: Addition) -> bytes:
        try:
            element = self._alerts.element(held.body, held.position, held.revision_id)
        except Unmappable as error:
            raise Permanent("alert_unreadable", error.message) from error
        document = json.dumps(element, ensure_ascii=False, indent=2).encode()  # numbers over 64 bits stay what they are
        if len(document) > attachments.ATTACHMENT_BYTES_MAX:
            raise Permanent(
                "attachment_too_large",
                f"The alert has {len(document)} bytes: up to {attachments.ATTACHMENT_BYTES_MAX} are attached.",
            )
        return document

    def _added(self, held: Addition, told: Told) -> None:
        with self._store.transaction("addition_done") as tx:
            additions.added(tx, held, self._store.now(tx), told)
        self._metrics.added(_label(held), "added")

    def _give_up(self, held: Addition, error: BridgeError) -> None:
        with self._store.transaction("addition_given_up") as tx:
            additions.given_up(tx, held, self._store.now(tx), error.code, error.message)
        self._metrics.added(_label(held), "given_up")
        self._warn("goes without its", held, error)

    def _try_again(
        self, held: Addition, error: BridgeError, *, sent_until: datetime | None, called: bool = False
    ) -> None:
        tries = held.tries + was_sent(error)
        if tries >= TRIES_MAX and held.kind.startswith(OUTPUT):
            if sent_until is None:
                self._nothing_is_in_doubt(held, error)
            self._give_up(held, tried_enough(error, tries))
            return
        if error.code not in HELD_CODES:  # what it was left alone for was told
            self._warn("does not have its", held, error)
        now = self._store.moment()
        due_at = again_at(error, now, failures=held.failures, jitter=self._jitter()) or now
        target = self._targets.get(held.target)
        if sent_until is not None and target is not None:
            until = window_end(sent_until, target.late_commit)
            due_at = min(due_at, until) if until > now else due_at  # over already: a failure waits as any other
        with self._store.transaction("addition_again") as tx:
            word = outcome_word(error) if called and error.code not in HELD_CODES else None
            sent = (tries, sent_until) if called else None
            additions.again(tx, held, due_at, error, sent=sent, called=word, now=now)

    def _warn(self, said: str, held: Addition, error: BridgeError) -> None:
        cause = said, held.target, held.kind, error.code
        if error.code in ITS_OWN:
            _log.warning("%s %s %s: %s: %s", held.number, said, held.kind, error.code, error.message)
        elif cause not in self._warned:
            self._warned.add(cause)
            told = "%s %s %s, and so may others at %s, which only their stories tell: %s: %s"
            _log.warning(told, held.number, said, held.kind, held.target, error.code, error.message)


def _label(held: Addition) -> str:
    """Of a metric: all outputs alike, for their names are the mappings'."""
    return held.kind.partition(":")[0]


class _Attachment:
    def __init__(self, *, api: TableApi, table: str, held: Addition, document: bytes) -> None:
        self._api = api
        self._table = table
        self._held = held
        self._name = f"alert-{held.delivery_id}-{held.position}.json"
        self._document = document

    def is_there(self, deadline: float) -> bool:
        held = self._held
        return attachments.has_attachment(self._api.client, self._table, held.sys_id, self._name, deadline=deadline)

    def send(self, deadline: Callable[[], float]) -> Told:
        sys_id = self._held.sys_id
        client = self._api.client
        attachments.attach(client, self._table, sys_id, self._name, self._document, deadline=deadline())
        return {"file": self._name, "bytes": len(self._document)}


class _Linking:
    def __init__(self, *, observables: Observables, held: Addition, wanted: list[Observable], app: str | None) -> None:
        self._app = app  # Elastic's, where incidents are written through it
        self._observables = observables
        self._held = held
        self._wanted = wanted

    def is_there(self, deadline: float) -> bool:
        return self._observables.are_linked(self._held.sys_id, self._wanted, deadline=deadline)

    def send(self, deadline: Callable[[], float]) -> Told:
        sys_id, wanted = self._held.sys_id, self._wanted
        if self._app is not None:
            left_out = self._observables.link_through(self._app, sys_id, wanted, deadline=deadline())
        else:
            left_out = self._observables.link(sys_id, wanted, deadline=deadline)
        return {"wanted": len(self._wanted)} | ({"left_out": left_out} if left_out else {})

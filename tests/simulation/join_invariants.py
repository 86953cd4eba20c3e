"""What must hold of joining: nothing is created while an incident takes in what shares a value with it.

Read from the correlation log alone, entry by entry, and held against what the senders said: not from `join_keys`, which
is the guard. Whoever was the last to create with a value takes it in, at once: while that create is on its way (it will
be tried again, or nobody knows yet what came of it), and as long as the incident is open, until `within` is over. Not:

- what nobody drives any more: it waits for a person, or its problem has decided something else since;
- what waits for a person while it is open, and what has ended;
- what has 50 problems, and what a person has taken the problem in question out of. While that is open it goes on taking
  in others, and what is made beside it does not.

Where the log leaves it open whether it takes in, nothing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from bridge.correlation.policy import CORRELATIONS_PER_INCIDENT_MAX, Reason
from bridge.log.entries import Action, Entry

Alike = Mapping[str, Mapping[str, timedelta]]  # alert id -> the values by which its problem joins, and `within` of each
Key = tuple[str | None, str | None, str]  # target, mapping, value
GOES_ON = ("will be tried again", "refused")  # outcomes of a failure that leaves it to nobody


class State(Enum):
    COMING = auto()  # its create was intended, and is driven
    IDLE = auto()  # it is not made, and nobody drives it
    OPEN = auto()
    STUCK = auto()  # open, and it waits for a person
    OVER = auto()


TAKES_IN = (State.COMING, State.OPEN)
IS_OPEN = (State.OPEN, State.STUCK)
AFTER = {  # an entry of an incident -> what it is then
    Action.WRITTEN: State.OPEN,
    Action.REOPENED: State.OPEN,
    Action.ADOPTED: State.STUCK,
    Action.CLOSED: State.OVER,
    Action.ENDED_BY_PERSON: State.OVER,
    Action.RECORD_GONE: State.OVER,
}


@dataclass(slots=True)
class _Log:
    """What the entries so far make certain."""

    last: dict[Key, tuple[int, datetime]] = field(default_factory=dict)  # who created with it, and since when
    states: dict[int, State] = field(default_factory=dict)
    former: dict[int, tuple[datetime, State]] = field(default_factory=dict)  # until when it was what
    opened_for: dict[int, int] = field(default_factory=dict)
    sizes: Counter[int] = field(default_factory=Counter)  # problems that joined
    left: set[tuple[int, int]] = field(default_factory=set)  # (problem, incident that a person took it out of)

    def takes_in(self, incident: int) -> bool:
        room = self.sizes[incident] + 1 < CORRELATIONS_PER_INCIDENT_MAX
        return self.states[incident] in TAKES_IN and room


def join_wrongs(entries: Iterable[Entry], alike: Alike) -> Iterator[str]:
    """`entries`: in the order of their ids."""
    log = _Log()
    for entry in entries:
        if entry.incident is None or entry.correlation is None or "addition" in entry.detail:
            continue
        if entry.action is Action.INTENDED and entry.outcome == "create":
            yield from _created(log, entry, entry.incident, entry.correlation, alike)
        else:
            _read(log, entry, entry.incident, entry.correlation)


def _created(log: _Log, entry: Entry, incident: int, problem: int, alike: Alike) -> Iterator[str]:
    log.states[incident], log.opened_for[incident] = State.COMING, problem
    for value, within in alike.get(str(entry.detail.get("alert")), {}).items():
        key = entry.target, entry.mapping, value
        other, since = log.last.get(key, (incident, entry.at))
        kept_out = (problem, other) in log.left
        if other != incident and log.takes_in(other) and not kept_out and entry.at - since <= within:
            yield f"{entry.correlation_id}: an incident is made, though incident {other} takes in what shares {value}"
        if not (kept_out and log.states[other] in IS_OPEN):
            log.last[key] = incident, since if other == incident else entry.at


def _read(log: _Log, entry: Entry, incident: int, problem: int) -> None:
    before = log.states.get(incident, State.IDLE)
    if entry.action in AFTER:
        log.states[incident], log.former[incident] = AFTER[entry.action], (entry.at, before)
    elif entry.action is Action.FAILED and entry.outcome not in GOES_ON:
        log.states[incident] = State.STUCK if before in IS_OPEN else State.IDLE
    elif entry.action is Action.LEASE_LOST and incident in log.former:
        at, former = log.former[incident]  # what was told in the same step was not settled
        log.states[incident] = former if at == entry.at else before
    elif entry.action in (Action.DECIDED, Action.JOINED):  # what was planned for it may be given up
        for one, of_it in log.opened_for.items():
            if of_it == problem and log.states[one] is State.COMING:
                log.states[one] = State.IDLE
        if entry.reason == Reason.WAITS_TO_JOIN and log.states.get(incident) is State.IDLE:  # it gives its values up
            log.last = {key: held for key, held in log.last.items() if held[0] != incident}
    if entry.action is Action.JOINED:
        log.sizes[incident] += 1
    elif entry.action is Action.SPLIT:
        log.sizes[incident] -= 1
        log.left |= {(problem, incident)} if entry.outcome == "taken_out" else set()

"""What a round leaves behind in the store, once its call has been made or was not needed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from bridge.alert import Json
from bridge.correlation.policy import Decision, Kind, Reason, settled, the_resolve
from bridge.correlation.progress import fold
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.log.entries import Action, append
from bridge.metrics import Metrics
from bridge.servicenow.import_set import SEVERAL_RECORDS
from bridge.servicenow.outcome import OPEN
from bridge.servicenow.record import Record
from bridge.store import brake, joins, orders, removal, telling
from bridge.store import settle as settling
from bridge.store.engine import Store
from bridge.store.held import UNSETTLED, Doubt, Held, Lease, Seen, Settlement
from bridge.store.settle import LeaseLost
from bridge.store.telling import AboutIntent
from bridge.store.work import paused_targets
from bridge.sync.doubt import Found
from bridge.sync.outcomes import REFUSALS, again_at, made_by, outcome_word
from bridge.sync.reading import JOURNAL_FIELDS, seen_after, seen_as_sent, seen_of
from bridge.sync.sight import Sight

# What ends a wait of its own accord, by the code of the failure; else a person does.
WAITS_FOR = {SEVERAL_RECORDS: "the look for twins, or a person"}

LOOKED_UP = "looked_up"  # it was found afterwards
TAKEN = "taken"  # a record was there already, which is the incident: nothing of the write is known to be in it
ERASED = "erased"  # why nothing is done about a problem whose alerts' bodies are gone

_log = logging.getLogger(__name__)


class Ledger:
    """Settles under the lease; keeps outcomes whoever holds it."""

    def __init__(self, *, store: Store, metrics: Metrics, jitter: Callable[[], float]) -> None:
        self._store = store
        self._metrics = metrics
        self._jitter = jitter

    def unwritten(self, sight: Sight, decision: Decision) -> None:
        held, now = sight.held, self._store.moment()
        nothing = decision.kind is Kind.NOTHING
        word = f"{'' if nothing else 'would_'}{decision.kind.value}: {decision.reason.value}"
        # A plan has no episode yet; the one before it belongs to another incident's row.
        known = sight.episode if held.incident.episode is not None else None
        episode = settled(known, decision, sight.progress, now) if nothing else known
        # What is only observed is not carried out: the progress goes on as if nothing had been decided.
        settlement = sight.settlement(decision if nothing else replace(decision, kind=Kind.NOTHING), episode)
        settlement = replace(settlement, kind=decision.kind.value, wake_at=decision.wake_at if nothing else None)
        waits_at = sight.target.name if not nothing or decision.reason is Reason.BRAKE else None
        with self._store.transaction("unwritten") as tx:
            waits = decision.reason in (Reason.BRAKE, Reason.WAITS_TO_JOIN)
            freed = waits and brake.has_released(tx, held)
            if freed and decision.reason is Reason.BRAKE:
                settling.release(tx, held)
                return
            kept = brake.RELEASED_WAITS if freed else word
            settling.settle(tx, held, settlement, held.incident, now, decision=kept, waits_at=waits_at)
            if kept != held.last_decision or (nothing and held.pending.count):
                detail: dict[str, Json] = {} if nothing else {"mode": "observe"}
                revision, target = sight.speaker.published.revision, sight.target.name
                telling.decided(tx, held, decision, now, target=target, revision=revision, detail=detail)
            if decision.kind is Kind.CREATE:
                self._hold_keys_observed(tx, sight, now)
            elif decision.reason in (Reason.WAITS_TO_JOIN, Reason.BRAKE):
                joins.yield_keys(tx, held)
        self._metrics.decided(word.split(":", maxsplit=1)[0], decision.reason.value)

    def _hold_keys_observed(self, tx: Connection, sight: Sight, now: datetime) -> None:
        with contextlib.suppress(joins.Taken):  # of two at once one would have joined: its next decision says so
            keys, target = sight.speaker.mapped.join_keys, sight.target.name
            joins.hold_keys(tx, sight.held, target, keys, now, observing=True)

    def joined(self, sight: Sight, decision: Decision) -> None:
        """Taken into an open incident. What it shares with that is told by the next round, which is the incident's."""
        held, target = sight.held, sight.target.name
        if sight.taker is None:
            raise ValueError("a join without an incident to join")
        with self._store.transaction("joined") as tx:
            if target in paused_targets(tx):
                raise orders.Paused(target)
            now, revision = self._store.now(tx), sight.speaker.published.revision
            done = joins.attach(tx, held, sight.taker, decision, now, revision=revision)
        # It shares the incident, is due, and the incident does not say so yet. If we die here the next round tells it.
        if done:
            self._metrics.decided(decision.kind.value, decision.reason.value)

    def let_go(self, held: Held) -> None:
        with self._store.transaction("let_go") as tx:
            joins.let_go(tx, held, self._store.now(tx))

    def not_begun(self, held: Held) -> None:
        """The round is over without a decision; it is still due."""
        with self._store.transaction("not_begun") as tx:
            settling.release(tx, held)

    def counted(self, held: Held) -> None:
        """No alert was ever accepted: there is nothing to decide on."""
        reason, now = Reason.IN_STEP.value, self._store.moment()
        settlement = Settlement(
            kind=Kind.NOTHING.value,
            reason=reason,
            read_seq=held.read_seq,
            progress=fold(held.progress, held.pending),
            episode=None,
        )
        held = replace(held, looked=True)
        with self._store.transaction("counted") as tx:
            settling.settle(tx, held, settlement, held.incident, now, decision=f"nothing: {reason}")

    def erased(self, held: Held) -> None:
        """Nothing is open, and what the alerts said was erased or pruned: there is nothing that could be written. The
        next alert speaks for itself; what people did to the record meanwhile is read then."""
        settlement = Settlement(
            kind=Kind.NOTHING.value,
            reason=ERASED,
            read_seq=held.read_seq,
            progress=held.folded,
            episode=held.incident.episode,
        )
        held, now = replace(held, looked=True), self._store.moment()
        with self._store.transaction("counted") as tx:
            settling.settle(tx, held, settlement, held.incident, now, decision=removal.ERASED)
            append(tx, telling.entry(held, Action.DECIDED, now, outcome=Kind.NOTHING.value, reason=ERASED))
        self._metrics.decided(Kind.NOTHING.value, ERASED)

    def applied(
        self,
        held: Held,
        about: AboutIntent,
        settlement: Settlement,
        found: Found,
        *,
        sent: dict[str, str],
        how: str = "",
    ) -> None:
        """`how`: LOOKED_UP or TAKEN, where no answer to the write has told it."""
        record, now = found.record, self._store.moment()
        create = settlement.kind == Kind.CREATE.value
        lasting = {name: value for name, value in sent.items() if name not in JOURNAL_FIELDS}
        kept = settlement.kind == Kind.UPDATE.value  # an update writes no state: what it reads back may be a person's
        shown = record.state if record is not None else None
        # What a later look-up shows may be a person's by now: then what we sent is what we know of our own write.
        read = dict(record.fields) if record is not None and found.left_state is None else {}
        written = settling.written_after(held.incident, lasting, read, anew=create, watched=found.watched)
        incident = replace(
            held.incident,
            seen=_seen(held, settlement, found, sent, written),
            sys_id=record.sys_id if record is not None else held.incident.sys_id,
            number=record.number if record is not None else held.incident.number,
            record_state=held.incident.record_state if kept else found.left_state or shown,
            written=written,
        )
        action = {"close": Action.CLOSED, "reopen": Action.REOPENED}.get(settlement.kind, Action.WRITTEN)
        told = replace(held, incident=incident)
        with self._store.transaction("applied") as tx:
            append(
                tx,
                telling.entry(
                    told,
                    action,
                    now,
                    outcome=settlement.kind,
                    reason=settlement.reason,
                    revision=about.revision,
                    detail=_detail(about, how, record),
                ),
                said=_said(record),
            )
            code = how
            try:
                settling.settle(tx, held, settlement, incident, now, decision=f"{settlement.kind}: {settlement.reason}")
            except LeaseLost:  # the outcome is kept all the same, for the next holder to settle
                code = UNSETTLED
                telling.lease_lost(tx, held, now)
            settling.record_outcome(
                tx, about.id, "applied", now, code=code, sys_id=incident.sys_id, number=incident.number
            )
        self._metrics.decided(settlement.kind, settlement.reason)
        _log.info("%s %s: %s", settlement.kind, incident.number, settlement.reason)
        for said in record.beside if record is not None else ():
            _log.warning("%s %s: beside it %s", settlement.kind, incident.number, said)

    def not_applied(self, held: Held, sight: Sight, decision: Decision, about: AboutIntent, error: BridgeError) -> None:
        """Keep the outcome; then a refusal is an answer for the decision, anything else a failure to come back to."""
        now = self._store.moment()
        refused = isinstance(error, Permanent) and error.code in REFUSALS and decision.kind in (Kind.CLOSE, Kind.REOPEN)
        with self._store.transaction("not_applied") as tx:
            sys_id, number = made_by(error) or (None, None)
            word = outcome_word(error)
            settling.record_outcome(tx, about.id, word, now, code=error.code, sys_id=sys_id, number=number)
            telling.called(tx, held, about, word, error, now)
        if error.code == "record_gone" and decision.kind is not Kind.CREATE:  # since we read it: the next round notices
            error = Transient(error.code, error.message)
        if refused and sight.episode is not None:
            self._refused(held, sight, decision, error)
        else:
            self.failed(held, error)

    def failed(self, held: Held, error: BridgeError, *, waits_at: str | None = None) -> None:
        """`waits_at`: the target that it waits for, where that is not its incident's."""
        now = self._store.moment()
        due_at = again_at(error, now, failures=held.failures, jitter=self._jitter())
        self._fail(held, error, now, due_at, waits_at=waits_at)
        _log.warning("%s waits: %s: %s", held.correlation_id, error.code, error.message)

    def wait_for_late_commit(self, held: Held, doubt: Doubt, now: datetime, until: datetime) -> None:
        ended = "The process ended before it noted an answer."
        why = OPEN.get(doubt.code) or (f"The answer left it open ({doubt.code})." if doubt.code else ended)
        looks = f"it is looked up until {until:%H:%M:%S} UTC, and"
        unknown = f"Whether the {doubt.operation} was applied is not known: {looks} only then sent again."
        made = f"It made {doubt.made_number or doubt.made}: {looks} then a person must look."
        error = Ambiguous("outcome_unknown", f"{why} {unknown if doubt.made is None else made}")
        again = again_at(error, now, failures=held.failures, jitter=self._jitter())
        self._fail(held, error, now, min(again or until, until))

    def _fail(
        self, held: Held, error: BridgeError, now: datetime, due_at: datetime | None, *, waits_at: str | None = None
    ) -> None:
        waits_for = WAITS_FOR.get(error.code, "a person")
        with self._store.transaction("failed") as tx:
            try:
                settling.fail(tx, held, error, now, due_at=due_at, waits_for=waits_for, waits_at=waits_at)
            except LeaseLost:
                telling.lease_lost(tx, held, now)

    def unreadable(self, lease: Lease) -> None:
        error = Permanent(
            "row_unreadable",
            "What the database holds of this correlation cannot be read by this version: was the bridge downgraded? "
            "Upgrade it again, then `bridge incidents sync`.",
        )
        with self._store.transaction("unreadable") as tx:
            settling.unreadable(tx, lease, error, self._store.now(tx))

    def lease_lost(self, held: Held) -> None:
        with self._store.transaction("lease_lost") as tx:
            telling.lease_lost(tx, held, self._store.now(tx))

    def _refused(self, held: Held, sight: Sight, decision: Decision, error: BridgeError) -> None:
        now, closing = self._store.moment(), decision.kind is Kind.CLOSE
        reason = Reason.CLOSE_REFUSED if closing else Reason.REOPEN_REFUSED
        episode = sight.episode
        if episode is not None and closing:
            episode = replace(episode, close_refused_for=the_resolve(sight.progress))
        elif episode is not None:
            episode = replace(episode, reopen_refused=True)
        # Nothing was carried out: the alerts count, and the decision is made anew.
        settlement = sight.settlement(replace(decision, kind=Kind.NOTHING), episode, reason=reason.value, wake_at=now)
        settlement = replace(settlement, kind=decision.kind.value)
        with self._store.transaction("refused") as tx:
            append(
                tx,
                telling.entry(
                    held,
                    Action.FAILED,
                    now,
                    outcome="refused",
                    reason=error.code,
                    detail={"operation": decision.kind.value},
                ),
                said=error.message,
            )
            settling.settle(tx, held, settlement, held.incident, now, decision=f"{decision.kind.value}: {reason.value}")


def _seen(
    held: Held, settlement: Settlement, found: Found, sent: Mapping[str, str], written: Iterable[str]
) -> Seen | None:
    """What a later look-up shows may be a person's by now, and is read anew."""
    record, before = found.record, held.incident.seen
    if record is None or found.left_state is not None:
        return seen_as_sent(before, sent)
    if settlement.kind == Kind.CREATE.value or before is None:
        return seen_of(record, written)
    update = settlement.kind == Kind.UPDATE.value
    now = seen_after(before, record, sent, written) if update else seen_of(record, written)
    return replace(now, values=before.values | now.values)  # an answer may show less than a read


def _detail(about: AboutIntent, how: str, record: Record | None) -> dict[str, Json]:
    detail: dict[str, Json] = {"intent": about.id, "attempt": about.attempt} | ({how: True} if how else {})
    if record is not None and record.http_status is not None:
        detail["status"] = record.http_status
    if record is not None and record.beside:
        detail["beside"] = [one.told for one in record.beside]
    return detail


def _said(record: Record | None) -> str:
    return "; ".join(str(one) for one in record.beside if one.said) if record is not None else ""

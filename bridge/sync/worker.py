"""The round, in one sentence: claim what is due, read the record, decide once, write the intent, write, record.

    claim ─► doubt? look it up ─► decide ─► read the record ─► decide again ─► intent ─► write ─► outcome
             (last write unknown)          (only if something would be written)

A crash anywhere leaves a correlation that is still due and a lease that runs out: recovery is the next round.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from bridge.alert import OWN_MAPPING, key_of
from bridge.correlation.policy import CloseWhen, Decision, Episode, Kind, Reason, decide, settled
from bridge.dictionary.reading import Reading
from bridge.errors import Ambiguous, BridgeError, Misconfigured, Permanent, Transient
from bridge.log.entries import Action, append
from bridge.metrics import Metrics
from bridge.servicenow.ownership import is_ours
from bridge.servicenow.record import Created, Record
from bridge.servicenow.table import TableApi
from bridge.settings import Mode, Target
from bridge.store import additions, brake, coalescing, joins, orders, telling, work
from bridge.store import settle as settling
from bridge.store.engine import Store
from bridge.store.held import LEASE, UNSETTLED, WINDOW_OVER, Doubt, Held, Lease, Part, Settlement
from bridge.store.reconciling import looks_first
from bridge.store.settle import LeaseLost
from bridge.store.telling import AboutIntent
from bridge.sync import speech, taking
from bridge.sync.additions import Additions
from bridge.sync.alert import Alerts
from bridge.sync.doubt import Found, id_taken, look_again, refuse_if_past, said_of, there_already
from bridge.sync.fields import Writing, fields_for
from bridge.sync.hastening import Hastening
from bridge.sync.ledger import LOOKED_UP, TAKEN, Ledger
from bridge.sync.lookout import Lookout
from bridge.sync.noticing import notice
from bridge.sync.outcomes import window_end
from bridge.sync.reading import ENDED_STATES, FIRST_STATE, JOURNAL_FIELDS, left_state_of
from bridge.sync.refusing import no_longer_ours, refuse_another_key, refuse_if_there
from bridge.sync.sight import Sight, taken

CALL_SECONDS_MAX = 15.0  # a deadline for one whole call, look-ups included
CALLS_PER_ROUND_MAX = 7  # doubt, note, read, list, children, group look-up, write
ROUND_SECONDS_MAX = CALLS_PER_ROUND_MAX * CALL_SECONDS_MAX
assert LEASE.total_seconds() > ROUND_SECONDS_MAX, "a live round must not outlive its lease"  # noqa: S101

_log = logging.getLogger(__name__)


class Worker:
    """Works rounds; any number may run side by side, in one process or many. Of a round only the turn is kept."""

    def __init__(
        self,
        *,
        store: Store,
        alerts: Alerts,
        targets: Mapping[str, Target],
        tables: Mapping[str, TableApi],
        reading_of: Callable[[str], Reading],
        installation: str,
        metrics: Metrics,
        monotonic: Callable[[], float],
        held: Callable[[], frozenset[str]] = frozenset,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._targets = targets
        self._tables = tables  # by instance
        self._places = {name: (target.instance, target.table) for name, target in targets.items()}
        self._lookout = Lookout(store=store, alerts=alerts, targets=targets, tables=tables, reading_of=reading_of)
        self._installation = installation
        self._ledger = Ledger(store=store, metrics=metrics, jitter=jitter)
        self._turn = ""  # the source whose it was; threads that claim at once may give one source two
        self._held = held  # targets whose instance is left alone for now
        clients = {name: table.client for name, table in tables.items()}
        self._hastening = Hastening(store=store, targets=targets, clients=clients)
        self._monotonic = monotonic
        self._additions = Additions(
            store=store,
            alerts=alerts,
            targets=targets,
            tables=tables,
            metrics=metrics,
            held=held,
            monotonic=monotonic,
            jitter=jitter,
        )

    def work(self, *, busy: bool = False, claimed: Callable[[], None] = lambda: None) -> bool:
        """One round; where none is due, what goes with an incident. False when nothing could be claimed.

        `busy`: the caller has just worked, so there may well be more: it is claimed without a look at whether.
        `claimed` is called once a round is begun: there may be more to do.
        Raises Transient when the store does not answer.
        """
        self._hastening.look()
        lease = self._claim() if busy or self._anything_due() else None
        if lease is None:
            return self._additions.work()
        claimed()
        # The lease is durable. If we die here nothing was sent; it runs out and the next holder begins again.
        try:
            with self._store.glance() as tx:
                held = work.hold(tx, lease)
        except msgspec.DecodeError:
            _log.exception("what is stored of correlation %d cannot be read", lease.correlation)
            self._ledger.unreadable(lease)
            return True
        if held is None:  # we stood still until the lease had run out: it is the next holder's
            return True
        held = replace(held, places=self._places)
        try:
            self._round(held)
        except LeaseLost:
            self._ledger.lease_lost(held)
        except orders.Paused as error:
            self._ledger.failed(held, error, waits_at=error.target)
        except (Transient, Ambiguous, Permanent) as error:
            self._ledger.failed(held, error)
        except Misconfigured as error:  # a secret is gone, an old revision does not compile: a person must look
            self._ledger.failed(held, Permanent(error.code, error.message))
        except Exception as error:  # noqa: BLE001 (the loop's edge: a bug must not stop the other correlations, nor spin)
            _log.exception("round of %s came to nothing", held.correlation_id)
            self._ledger.failed(held, Transient("internal_error", f"{type(error).__name__}: see the service's log"))
        return True

    def _anything_due(self) -> bool:
        with self._store.glance() as tx:
            return work.anything_due(tx, self._store.now(tx))

    def _claim(self) -> Lease | None:
        with self._store.transaction("claim") as tx:
            paused = work.paused_targets(tx) | self._held()
            lease = work.claim(tx, self._store.now(tx), paused=paused, after=self._turn)
        self._turn = lease.turn if lease is not None else self._turn
        return lease

    def _round(self, held: Held) -> None:
        if held.doubt is not None and self._doubt_holds(held, held.doubt):
            return
        if held.alert is None:  # a person asked, and all alerts so far were suppressed
            self._ledger.counted(held)
            return
        if held.part is Part.JOINING and held.incident.state == "ended":
            self._ledger.let_go(held)
            return
        if held.alert.body is None and held.incident.state != "open":
            self._ledger.erased(held)
            return
        sight = self._lookout.sight(held)
        now = self._store.moment()
        decision = decide(sight.situation(), sight.policy, now)
        record: Record | None = None
        wanted = decision.kind is not Kind.NOTHING or held.look_at is not None
        if wanted and sight.target.mode is Mode.WRITE and held.incident.sys_id is not None:
            record = self._read(sight, held.incident.sys_id)
            noticed = notice(self._store, sight, record, installation=self._installation)
            if noticed is None:
                return
            sight, now = noticed, self._store.moment()
            decision = decide(sight.situation(), sight.policy, now)
            if decision.kind is Kind.CLOSE and sight.policy.close_when is CloseWhen.UNTOUCHED and self._children(sight):
                sight = replace(sight, episode=_touched(sight.episode))
                decision = decide(sight.situation(), sight.policy, now)
        elif sight.target.mode is Mode.OBSERVE:  # what people do there is nothing to us for now
            sight = replace(sight, held=replace(held, looked=True))
        if decision.kind in (Kind.CREATE, Kind.JOIN):
            sight, record = self._lookout.opening(sight), None
        if decision.kind is Kind.NOTHING or sight.target.mode is Mode.OBSERVE:
            self._ledger.unwritten(sight, decision)
        elif decision.kind is Kind.JOIN:
            self._ledger.joined(sight, decision)
        else:
            self._write(sight, decision, record, now)

    # --- what there is to see

    def _read(self, sight: Sight, sys_id: str) -> Record | None:
        taken_as_it_was = taking.columns(sight, self._store.moment())
        fields = {*sight.held.incident.written, *sight.watched, *taken_as_it_was, sight.target.key_field}
        record = sight.table.read(
            sight.target.table, sys_id, fields=sorted(fields - JOURNAL_FIELDS), deadline=self._deadline()
        )
        if record is None:
            refuse_if_there(sight, sys_id, deadline=self._deadline())
        elif not self._is_ours(sight.target, record, sight.held):
            raise no_longer_ours(record)
        return record

    def _children(self, sight: Sight) -> bool:
        sys_id, table = sight.held.incident.sys_id or "", sight.target.table
        return sight.table.has_open_children(table, sys_id, ended=ENDED_STATES[table], deadline=self._deadline())

    # --- a write whose outcome is not known

    def _doubt_holds(self, held: Held, doubt: Doubt) -> bool:
        """Look the last write up. False when it is certain that it did not happen: the round may go on."""
        if doubt.known and held.incident.target not in self._targets:
            return False  # it was refused there, and nobody can look there any more: the route decides where to go
        target = self._lookout.target(held.incident.target)
        now = self._store.moment()  # before the look: what is committed while it looks must not be missed
        until = window_end(doubt.deadline, target.late_commit)
        try:
            found = look_again(
                self._tables[target.instance],
                target,
                held,
                doubt,
                now=now,
                until=until,
                deadline=self._deadline(),
                ours=lambda record: self._is_ours(target, record, held),
                known=lambda record: self._is_known(target, record, held),
                installation=self._installation,
            )
        except (Transient, Permanent):
            if doubt.made_nothing and self._lookout.goes_elsewhere(held):
                return False  # nothing can be looked up there, and nothing was made there
            raise
        if found is not None:
            table, deadline = self._tables[target.instance], self._deadline()
            said = said_of(table, target, found, doubt, now=now, deadline=deadline, installation=self._installation)
            with self._store.glance() as tx:
                about = telling.about_intent(tx, doubt.id)
            left_state = said.fields.get("state") if said is not None else None
            found = replace(found, left_state=left_state or FIRST_STATE[target.table])
            if said is None:
                self._take(held, about, found, reason=doubt.said.settlement.reason, sent={})
                return True
            self._ledger.applied(held, about, said.settlement, found, sent=said.fields, how=LOOKED_UP)
            return True
        if doubt.known:
            return False
        if now < until:
            self._ledger.wait_for_late_commit(held, doubt, now, until)
            return True
        with self._store.transaction("window_over") as tx:
            settling.record_outcome(tx, doubt.id, "not_applied", now, code=WINDOW_OVER)
            detail = {"intent": doubt.id, "operation": doubt.operation}
            # Applied, said who lost the lease meanwhile: it is gone, and what is due now is done anew.
            outcome = "gone" if doubt.code == UNSETTLED else "not_applied"
            append(tx, telling.entry(held, Action.LOOKED_UP, now, outcome=outcome, detail=detail))
        return False

    def _is_known(self, target: Target, record: Record, held: Held) -> bool:
        """Another episode's record is neither a hit nor a twin."""
        elsewhere = [name for name, other in self._targets.items() if other.instance != target.instance]
        with self._store.glance() as tx:
            return settling.known_elsewhere(tx, record.sys_id, but=held.incident.id, elsewhere=elsewhere)

    def _is_ours(self, target: Target, record: Record, held: Held) -> bool:
        correlation_id = held.incident.correlation_id
        mine = is_ours(record, correlation_id=correlation_id, installation=self._installation)
        return mine or (target.adopt_any and record.text("correlation_id") == correlation_id)

    # --- carrying a decision out

    def _write(self, sight: Sight, decision: Decision, record: Record | None, now: datetime) -> None:
        """`now`: of the decision."""
        if record is not None:
            refuse_another_key(record, sight.target, sight.held.incident)
            with self._store.glance() as tx:
                coalescing.refuse_if_it_makes(tx, sight.target, asked_at=sight.held.asked_at)
        ref = speech.new_ref()
        writing = fields_for(
            sight,
            decision,
            record,
            installation=self._installation,
            ref=ref,
            now=now,
            deadline=self._deadline(),
        )
        try:
            intended = self._intend(sight, decision, writing, ref)
        except joins.Taken:  # another process was quicker with the same values: the next round joins its incident
            self._ledger.not_begun(sight.held)
            return
        if isinstance(intended, datetime):  # until when the brake holds
            decision = decide(sight.situation(brake=True), sight.policy, self._store.moment())
            waits = decision.reason is Reason.BRAKE
            self._ledger.unwritten(sight, replace(decision, wake_at=intended) if waits else decision)
            return
        held, about, settlement, deadline = intended
        # The intent is durable, nothing was sent. If we die here the next holder finds an intent without an outcome and
        # cannot know that: it looks the record up until the late-commit window has passed, and only then sends again.
        try:
            made = self._send(held, sight, writing, record, deadline)
        except BridgeError as error:
            self._ledger.not_applied(held, sight, decision, about, error)
            return
        # ServiceNow has it and we have not noted it. If we die here the look-up finds it by its ID, or by the [ref].
        if made.there:
            found = Found(record=made.record, left_state=FIRST_STATE[sight.target.table])
            sent = writing.fields if made.sent else {}
            self._take(held, about, found, reason=decision.reason.value, sent=sent)
            return
        state_before = record.state if decision.kind is Kind.CLOSE and record else held.incident.state_before_close
        held = replace(held, incident=replace(held.incident, state_before_close=state_before))
        # What was read back after an import may be as people have made it since.
        left_state = left_state_of(record, made.record, decision.kind, writing.fields, sight.target)
        found = Found(record=made.record, watched=writing.watched, left_state=left_state)
        self._ledger.applied(held, about, settlement, found, sent=writing.fields)

    def _take(self, held: Held, about: AboutIntent, found: Found, *, reason: str, sent: dict[str, str]) -> None:
        """What was there already is the incident: the next round reads what it shows, and tells what it does not."""
        settlement = taken(held, reason=reason, wake_at=self._store.moment())
        self._ledger.applied(held, about, settlement, found, sent=sent, how=TAKEN)

    def _send(self, held: Held, sight: Sight, writing: Writing, before: Record | None, deadline: float) -> Created:
        """The record as ServiceNow has it, and of a create whether it was there already. `before`: None is a create."""
        target = sight.target
        if before is not None:
            return Created(sight.way.update(before, writing.fields, key=writing.key, deadline=deadline))

        def ours(record: Record) -> bool:
            return self._is_ours(target, record, held)

        def known(record: Record) -> bool:
            return self._is_known(target, record, held)

        with self._store.glance() as tx:
            looks = looks_first(tx, target.instance, target.table, key_of(held.correlation_id))
        there = there_already(sight.table, target, writing.key, looks=looks, deadline=deadline, ours=ours, known=known)
        if there is not None:
            made = Created(there, there=True, sent=False)
        else:
            made = sight.way.create(writing.fields, also=writing.watched, deadline=deadline)
        if known(made.record):
            raise id_taken(made.record)
        if made.there:
            refuse_if_past(sight.table, target, made.record, held.doubt, now=self._store.moment())
        return made

    def _intend(
        self, sight: Sight, decision: Decision, writing: Writing, ref: str
    ) -> tuple[Held, AboutIntent, Settlement, float] | datetime:
        """A time when the brake holds until then: nothing is intended."""
        held = sight.held
        deadline = self._deadline()
        with self._store.transaction("intent") as tx:
            now = self._store.now(tx)
            paused = work.paused_targets(tx)
            if sight.target.name in paused:  # since the claim, or the route has moved there
                raise orders.Paused(sight.target.name)
            if decision.kind is Kind.CREATE:
                most = sight.target.max_creates_per_hour
                free = held.mapping == OWN_MAPPING  # what tells of the brake is not held by it
                paused |= self._held()  # as at the claim
                until = None if free else brake.holds(tx, held, sight.target.name, most=most, now=now, paused=paused)
                if until is not None:
                    return until
                if held.incident.episode is not None:
                    held = settling.plan_next(tx, held, sight.target.name)
                elif sight.speaker.mapped.join_keys:
                    settling.fence(tx, held)  # correlations, incident, keys: in opposite orders two would deadlock
                joins.hold_keys(tx, held, sight.target.name, sight.speaker.mapped.join_keys, now)
            episode = settled(sight.episode, decision, sight.progress, now)
            settlement = sight.settlement(decision, episode, wake_at=decision.wake_at)
            revision = sight.speaker.published.revision
            told, target = writing.told, sight.target.name
            telling.decided(tx, held, decision, now, said=writing.said, target=target, revision=revision, detail=told)
            about = settling.intend(
                tx,
                held,
                settlement,
                writing.fields,
                before=writing.before,
                ref=ref,
                target=sight.target.name,
                revision=revision,
                revision_id=sight.speaker.published.revision_id,
                now=now,
                deadline=now + timedelta(seconds=CALL_SECONDS_MAX),
            )
            if decision.kind is Kind.CREATE:
                additions.plan(tx, held, sight.speaker.published.revision_id, writing.additions)
            incident = replace(held.incident, target=sight.target.name)
        return replace(held, incident=incident), about, settlement, deadline

    def _deadline(self) -> float:
        return self._monotonic() + CALL_SECONDS_MAX


def _touched(episode: Episode | None) -> Episode | None:
    return replace(episode, touched=True) if episode is not None else None

"""Who does something to the bridge and to ServiceNow: senders, people, administrators, and bad luck. A seed decides."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from msgspec import structs
from sqlalchemy import false, select

from bridge.alert import MappedAlert
from bridge.errors import Permanent, Transient
from bridge.simulator.answers import Refused
from bridge.simulator.seed import fixed_id
from bridge.store import brake, joins, orders, prepare, queries, tables
from bridge.store.prepare import PreparedDelivery
from bridge.store.writer import _Ticket
from bridge.sync.reading import CANCELLED_STATE
from simulation.fake import is_over
from simulation.scheduler import Died
from simulation.world import Sent, World

HOSTS = ("web-1", "web-1", "web-1", "web-2", "")
IPS = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
LEVELS = ("low", "high", "critical", "medium")
WHEN_OVER = ("reopen", "edit", "delete", "judge")
WHEN_OPEN = ("close", "close", "take", "edit", "rank", "delete", "cancel")
IN_WORK = {"incident": "2", "sn_si_incident": "16"}
JUDGED = {"incident": ("Known error", "Duplicate"), "sn_si_incident": ("-100", "103")}  # false positive, or not
FRED = fixed_id("sys_user", "fred")
TRIES_MAX = 60  # of one delivery: more, and intake does not take what it must take


class Senders:
    def __init__(self, world: World, rules: list[str]) -> None:
        self.world = world
        self.rules = rules
        self.latest: dict[str, str] = {}
        self._number = 0

    def plan(self, deliveries: int, span: float) -> None:
        chance = self.world.chance
        for _ in range(deliveries):
            self.world.scheduler.at(chance.uniform(0, span), self.something)

    def something(self) -> None:
        """One batch: what several threads of intake have waiting at this moment."""
        chance = self.world.chance
        if self.world.mapping == "joining" and chance.random() < 0.3:
            self.deliver([self._all_at_once()])
            return
        many = chance.choices((1, 2, 3), (8, 2, 1))[0]
        self.deliver([self._delivery() for _ in range(many)])

    def _delivery(self) -> Sent:
        chance = self.world.chance
        rules = tuple(chance.choice(self.rules) for _ in range(chance.choices((1, 2), (4, 1))[0]))
        states = [self._state(rule) for rule in rules]
        alerts = [self.alert(rule, state) for rule, state in zip(rules, states, strict=True)]
        return self.new(rules, alerts, poison=chance.random() < 0.05)

    def _all_at_once(self) -> Sent:
        """Every problem of one host, in one delivery: whoever is awake takes one of them."""
        host = self.world.chance.choice(HOSTS)
        self.latest |= dict.fromkeys(self.rules, "firing")
        return self.new(tuple(self.rules), [self.alert(rule, "firing") | {"host": host} for rule in self.rules])

    def _state(self, rule: str) -> str:
        """Mostly what makes sense: it flaps now and then."""
        chance = self.world.chance
        firing = self.latest.get(rule) == "firing"
        state = "resolved" if chance.random() < (0.35 if firing else 0.15) else "firing"
        self.latest[rule] = state
        return state

    def alert(self, rule: str, state: str, **more: Any) -> dict[str, Any]:
        chance = self.world.chance
        alert: dict[str, Any] = {"rule": rule, "state": state, "level": chance.choice(LEVELS)} | more
        if self.world.mapping == "joining":
            alert["host"] = chance.choice(HOSTS)
        if self.world.mapping == "rich":
            alert["ips"] = chance.sample(IPS, chance.choice((0, 1, 2)))
        if chance.random() < 0.08:
            alert["kind"] = "noisy"
        if chance.random() < 0.3:  # a clock of its own, or out of order
            ahead = chance.choice((-900.0, -120.0, -20.0, -1.0, 2.0, 60.0))
            alert["at"] = (self.world.timeline.wall() + timedelta(seconds=ahead)).isoformat()
        return alert

    def new(self, rules: tuple[str, ...], alerts: list[dict[str, Any]], *, poison: bool = False) -> Sent:
        self._number += 1
        body = json.dumps({"alerts": [alert | {"n": str(self._number)} for alert in alerts]}).encode()
        sent = Sent(sender_id=f"d{self._number}", rules=rules, body=body, poison=poison)
        self.world.sent[sent.sender_id] = sent
        return sent

    def deliver(self, batch: list[Sent]) -> None:
        """One try; what is not answered 2xx is sent again, as a good sender does, and sometimes what is, too."""
        world, chance = self.world, self.world.chance
        tickets = [_Ticket(self._prepared(sent)) for sent in batch]
        with contextlib.suppress(Died):  # nobody was answered
            world.writer._store_batch(tickets)
        world.scheduler.wake_parked(one=world.chance)
        for sent, ticket in zip(batch, tickets, strict=True):
            sent.tries += 1
            if ticket.answer is not None:
                sent.answers.append(ticket.answer)
            answered = ticket.answer is not None and ticket.done.acquire(blocking=False)
            told = (
                [one.outcome for one in ticket.answer.alerts] if ticket.answer is not None and answered else "no answer"
            )
            world.tell(f"{sent.sender_id} {sent.body.decode()}: {told}")
            if ticket.answer is not None and not answered:
                sent.answers.pop()
            if sent.tries > TRIES_MAX:
                world.wrongs.append(f"{sent.sender_id} was not taken in {sent.tries} tries")
            elif not answered:
                world.scheduler.after(chance.uniform(0.5, 20.0), lambda sent=sent: self.deliver([sent]))  # type: ignore[misc]
            elif chance.random() < 0.15:
                world.scheduler.after(chance.uniform(0.0, 400.0), lambda sent=sent: self.deliver([sent]))  # type: ignore[misc]

    def _prepared(self, sent: Sent) -> PreparedDelivery:
        published = self.world.published
        alerts = prepare.map_content(published.mapping, sent.body, now=self.world.timeline.wall())
        if sent.poison:  # what the store cannot take, however it came about
            first = alerts[0]
            assert first.mapped is not None
            alerts = (structs.replace(first, mapped=_poisoned(first.mapped)), *alerts[1:])
        return PreparedDelivery(
            source="probe",
            tenant="default",
            mapping="probe",
            revision_id=published.revision_id,
            revision=published.revision,
            sender_id=sent.sender_id,
            content_type="application/json",
            body=sent.body,
            fingerprint=prepare.fingerprint("probe", sent.sender_id, sent.body),
            alerts=alerts,
        )


class Persons:
    """Analysts at the records, and the administrator who mends what the bridge says is broken."""

    def __init__(self, world: World, rules: list[str]) -> None:
        self.world = world
        self.rules = rules
        self._edits = 0

    def plan(self, actions: int, span: float) -> None:
        for _ in range(actions):
            self.world.scheduler.at(self.world.chance.uniform(0, span), self.something)

    def something(self, *, twins: bool = False) -> None:
        """`twins`: at a record of which there is another, mostly at the one that came last."""
        world, chance = self.world, self.world.chance
        rows = [row for row in world.fake.simulator.rows.rows(world.target.table) if world.people.is_ours(row)]
        if twins:
            made = Counter(row["correlation_id"] for row in rows if not is_over(row, world.target.table))
            rows = [row for row in rows if made[row["correlation_id"]] > 1]
        if not rows:
            return
        row = rows[-1] if twins and chance.random() < 0.7 else chance.choice(rows)
        over = is_over(row, world.target.table)
        what = chance.choice(WHEN_OVER if over else WHEN_OPEN)
        if what == "delete" and world.level == "import_set":
            return  # a transform map makes a new record of an update whose record is gone: docs/guarantees.md
        self.act(what, row)

    def review(self) -> None:
        """Somebody goes through what is over, as analysts do."""
        table = self.world.target.table
        for row in self.world.fake.simulator.records(table):
            if self.world.people.is_ours(row) and is_over(row, table):
                self.act("judge", row)

    def act(self, what: str, row: dict[str, str]) -> None:
        """`what` is of WHEN_OPEN or WHEN_OVER."""
        self.world.tell(f"a person: {what} {row['number']} ({row['correlation_id']})")
        try:
            getattr(self, f"_{what}")(row)
        except Refused as refusal:
            self.world.tell(f"refused: {refusal}")

    def _edited(self, row: dict[str, str], **fields: str) -> None:
        world = self.world
        world.fake.simulator.edit_as_person(world.target.table, row["sys_id"], fields, user="analyst")

    def _close(self, row: dict[str, str]) -> None:
        if self.world.target.table == "incident":
            code = self.world.chance.choice(("Solution provided", "Known error"))
            self._edited(row, state="7", close_code=code, close_notes="Done.")
        else:
            self._edited(row, state="3", close_code="102", close_notes="Done.")
        self._ended(row)

    def _cancel(self, row: dict[str, str]) -> None:
        code = "Solution provided" if self.world.target.table == "incident" else "102"
        cancelled = CANCELLED_STATE[self.world.target.table]
        self._edited(row, state=cancelled, close_code=code, close_notes="No.")
        self._ended(row)

    def _ended(self, row: dict[str, str]) -> None:
        """What counts as a person's end. Not that of an incident that we closed, which a person opened and closed again
        between two reads, and left in the state and with the code that we had left it with.
        """
        with self.world.store.reading() as tx:
            known = select(tables.incidents.c.state).where(tables.incidents.c.sys_id == row["sys_id"])
            ended = tx.execute(known).scalar() == "ended"
        facts = self.world.people.facts(row["sys_id"])
        # unseen: nor while it is not told yet that our close was applied
        if (ended or facts.unseen) and self._as_we_close(row):
            facts.taken_at = None
            return
        facts.ended_at, facts.reopened = self.world.timeline.seconds, False

    def _as_we_close(self, row: dict[str, str]) -> bool:
        target = self.world.target
        now = self.world.fake.simulator.record(target.table, row["sys_id"]) or row
        return target.close is not None and (now["state"], now["close_code"]) == (target.close.state, target.close.code)

    def _judge(self, row: dict[str, str]) -> None:
        """What somebody says of a record that is over, whoever ended it."""
        table, chance = self.world.target.table, self.world.chance
        said = {} if chance.random() < 0.3 and table == "incident" else {"close_code": chance.choice(JUDGED[table])}
        closes = table == "incident" and (not said or chance.random() < 0.5)
        self._edited(row, **said, **({"state": "7"} if closes else {}))
        self._ended(row)

    def _reopen(self, row: dict[str, str]) -> None:
        self._edited(row, state=IN_WORK[self.world.target.table])
        facts = self.world.people.facts(row["sys_id"])
        facts.unseen = facts.ended_at is None
        facts.ended_at, facts.reopened, facts.taken_at = None, True, self.world.timeline.seconds

    def _take(self, row: dict[str, str]) -> None:
        self._edited(row, state=IN_WORK[self.world.target.table], assigned_to=FRED)
        self.world.people.facts(row["sys_id"]).taken_at = self.world.timeline.seconds

    def _rank(self, row: dict[str, str]) -> None:
        self._edited(row, impact=self.world.chance.choice("123"))
        self.world.people.facts(row["sys_id"]).edited.add("impact")

    def _edit(self, row: dict[str, str]) -> None:
        self._edits += 1
        value = f"Written by a person, {self._edits}"
        self._edited(row, description=value)
        self.world.people.facts(row["sys_id"]).fields["description"] = (value, self.world.timeline.seconds)

    def _delete(self, row: dict[str, str]) -> None:
        self.world.fake.simulator.person_deletes(self.world.target.table, row["sys_id"])
        self.world.people.deleted.add(row["sys_id"])
        self.world.people.deleted_ids |= {row["correlation_id"], *self._that_share(row)}

    def _that_share(self, row: dict[str, str]) -> Iterable[str]:
        """The correlation IDs that have, or had, this record as their incident."""
        ids = select(tables.correlations.c.correlation_id).join_from(tables.episodes, tables.correlations)
        query = ids.join(tables.incidents, tables.incidents.c.id == tables.episodes.c.incident)
        with self.world.store.reading() as tx:
            return tx.execute(query.where(tables.incidents.c.sys_id == row["sys_id"])).scalars().all()

    # --- administrators

    def foreign(self, rule: str, installation: str) -> None:
        """A record of another tool, or of another bridge, that carries the ID of one of our problems."""
        simulator = self.world.fake.simulator
        display = f"Other · {installation}" if installation else "Other tool"
        row = simulator.person_creates(
            self.world.target.table, "other", correlation_id=rule, correlation_display=display, short_description="x"
        )
        self.world.people.foreign[row["sys_id"]] = row
        self.world.tell(f"another tool makes {row['number']} with the ID {rule}")

    def give_way(self) -> None:
        """Somebody does what `id_in_use` asks for: our IDs are ours alone from now on."""
        simulator, people = self.world.fake.simulator, self.world.people
        for sys_id in people.foreign:
            simulator.edit_as_person(
                people.target.table, sys_id, {"correlation_id": f"other-{sys_id[:8]}"}, user="other"
            )
            people.foreign[sys_id] = dict(simulator.record(people.target.table, sys_id) or {})

    def split(self, rule: str) -> None:
        """Somebody sees that it should not have been taken in."""
        world = self.world
        with world.store.transaction() as tx:
            for one in queries.find_correlations(tx, rule):
                try:
                    joins.split(tx, one.row_id, actor="test", now=world.store.now(tx))
                except (Permanent, Transient) as error:
                    world.tell(f"a person cannot take {rule} out: {error.code}")
                else:
                    world.tell(f"a person takes {rule} out of its incident")
        world.scheduler.wake_parked(one=world.chance)

    def release(self) -> None:
        world = self.world
        with world.store.transaction() as tx:
            problems, twins = brake.release(
                tx, "itsm", instance="test", table=world.target.table, actor="test", now=world.store.now(tx)
            )
        world.released = world.released or problems > 0
        world.tell(f"a person releases {problems} problems and {twins} twins")
        world.scheduler.wake_parked(one=world.chance)

    def ask_sync(self, *, refusals_too: bool = False) -> None:
        world = self.world
        with world.store.transaction() as tx:
            waiting = select(tables.correlations.c.correlation_id)
            waiting = waiting.where(
                tables.correlations.c.waits_for_person
                | (tables.correlations.c.last_decision.like("%refused") if refusals_too else false())
            )
            for rule in tx.execute(waiting.order_by(tables.correlations.c.id)).scalars().all():
                world.asks[rule] = world.asks.get(rule, 0) + 1
                world.tell(f"a person asks for another try of {rule}")
                orders.ask_sync(tx, queries.find_correlations(tx, rule), actor="test", now=world.store.now(tx))
        world.scheduler.wake_parked(one=world.chance)


def _poisoned(mapped: MappedAlert) -> MappedAlert:
    return structs.replace(mapped, correlation_id="\ud800")

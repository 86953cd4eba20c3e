"""One seed from its first alert to rest, and whether what must hold then does."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update

from bridge.alert import Status
from bridge.correlation.reconcile import CLOSES_PER_HOUR_MAX
from bridge.log.note import Signer
from bridge.settings import AuthScheme, Write
from bridge.store import tables
from bridge.store.reconciler_tables import strays
from bridge.store.strays import REPORTED
from simulation import fake
from simulation.actors import HOSTS, Persons, Senders
from simulation.fake import Wire
from simulation.invariants import Evidence, check_invariants, engine_faults
from simulation.join_invariants import Alike
from simulation.log_invariants import KEY, seal_all
from simulation.mappings import IMPACT, JOINS_WITHIN, MAPPINGS
from simulation.people import foreign_changed
from simulation.targets import TARGETS
from simulation.world import INSTALLATION, Engine, Trouble, World, simulated

TWINS_SHARE = 0.2  # of the seeds that write by `table`, one in eight of all: they are not one story with the others
LEVELS = ("table", "table", "security", "import_set", "unique")
DAY = 86_400.0
HOUR = timedelta(hours=1)
REST_SECONDS_MAX = 3 * DAY
SPAN_OF_TWINS = 3600.0  # at least: people and crashes are to meet what commits late
LOOKS_MAX = 60  # of the reconciler, until nothing is left for it to do
NOTICED_SECONDS = 150.0  # a close is due by then, and with it the record is read


@dataclass(frozen=True, slots=True)
class Outcome:
    seed: int
    problem: str  # "": all held
    story: tuple[str, ...]
    rounds: int

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join((*self.story, self.problem)).encode()).hexdigest()[:16]


def run(engine: Engine, seed: int) -> Outcome:
    chance = random.Random(f"world {seed}")
    level, mapping = chance.choice(LEVELS), chance.choice(list(MAPPINGS))
    if level == "security" and chance.random() < 0.5:
        mapping = "rich"  # nothing else has observables
    scheme = chance.choice((AuthScheme.BASIC, AuthScheme.OAUTH_CLIENT_CREDENTIALS))
    twins = random.Random(f"twins {seed}")  # its own: other seeds are the stories that they were
    made_twice = TARGETS[level].write is Write.TABLE and twins.random() < TWINS_SHARE
    world = World(
        engine,
        seed,
        level,
        mapping,
        processes=chance.choice((1, 2, 2, 3)),
        scheme=scheme,
        creates_max=1 if chance.random() < 0.1 else None,
        lit=chance.random() < 0.15,
        closes_max=twins.choice((1, CLOSES_PER_HOUR_MAX)) if made_twice else None,
    )
    problem = ""
    with simulated(world):
        try:
            _live(world, chance)
        except Exception as error:  # noqa: BLE001 (whatever comes out of the engine is a finding)
            problem = f"{type(error).__name__}: {error}"
            world.story.append(problem)
            if not isinstance(error, AssertionError):
                import traceback

                world.story.append(traceback.format_exc())
    if problem and (faults := [fault for fault in engine_faults(world.store) if fault not in problem]):
        problem += "\n" + "\n".join(faults)  # whatever else is wrong may come of them
    head = f"seed {seed}: {level}, mapping {mapping}, {scheme}, {world.size} processes"
    head += f", twins, of which {world.closes_max} an hour are closed" if made_twice else ""
    return Outcome(seed, problem, (head, *world.story), _rounds(world))


def _live(world: World, chance: random.Random) -> None:
    mapping = world.mapping
    many = chance.choice((2, 3)) if mapping == "joining" else chance.choice((1, 1, 2, 3))
    rules = [f"r{number}" for number in range(1, many + 1)]
    span = chance.choice((30.0, 300.0, 1800.0, 7200.0))
    span = max(span, SPAN_OF_TWINS) if world.closes_max is not None else span
    senders, persons = Senders(world, rules), Persons(world, rules)
    world.news = senders.something
    senders.plan(chance.randint(2, 8), span)
    persons.plan(chance.choice((0, 0, 1, 3, 5)), span)
    _trouble(world, chance)
    if chance.random() < 0.2:
        rule, other = chance.choice(rules), chance.choice(("", "ffffffff"))
        world.scheduler.at(chance.uniform(0, span / 2), lambda: persons.foreign(rule, other))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        world.scheduler.at(chance.uniform(0, span), lambda: _power_cut(world))
    for _ in range(chance.choice((0, 0, 1))):
        world.scheduler.at(chance.uniform(0, span), lambda: _outage(world))
    for _ in range(chance.choice((0, 1, 3))):
        world.scheduler.at(chance.uniform(0, span), world.look)
    for minutes in range(5, int(span // 60), 10):
        world.scheduler.at(minutes * 60.0, persons.ask_sync)
        if world.lit:
            world.scheduler.at(minutes * 60.0, world.look_at_lamps)
    if mapping == "joining":
        for _ in range(chance.choice((0, 1, 3))):
            rule = chance.choice(rules)
            world.scheduler.at(chance.uniform(span / 3, span), lambda rule=rule: persons.split(rule))  # type: ignore[misc]
    if world.target.max_creates_per_hour == 1 and chance.random() < 0.5:
        world.scheduler.at(chance.uniform(0, span), persons.release)
    if world.closes_max is not None:
        _meet_twins(world, persons, chance, span)
    signer = Signer(f"incident-bridge/{INSTALLATION}", KEY)
    world.scheduler.at(span / 2, lambda: seal_all(world.store, signer))
    world.start()
    world.scheduler.run(span)
    come_to_rest(world, senders, persons, chance)


def _meet_twins(world: World, persons: Persons, chance: random.Random, span: float) -> None:
    for minutes in range(5, int(span // 60), 5):
        world.scheduler.at(minutes * 60.0 + chance.uniform(0.0, 200.0), world.look)
    for _ in range(chance.choice((0, 0, 1, 2))):
        world.scheduler.at(chance.uniform(span / 3, span), persons.release)
    often = chance.choice((0.0, 0.5, 0.9))

    def came_late() -> None:
        """Somebody may be at it before the reconciler is."""
        if world.timeline.seconds < span and chance.random() < often:
            world.scheduler.after(chance.uniform(1.0, 60.0), lambda: persons.something(twins=True))

    world.fake.came_late = came_late


def _trouble(world: World, chance: random.Random) -> None:
    """Each seed has troubles of its own, from none to more than any day has."""

    def some(*of: float) -> float:
        return chance.choice(of)

    world.fake.wire = Wire(reads=some(0, 0, 0.05, 0.2), writes=some(0, 0.1, 0.3, 0.6))
    if world.level == "unique":
        world.fake.wire.stalls = some(0, 0.1, 0.3)
    if world.closes_max is not None:
        world.fake.wire.beyond, world.fake.wire.stalls = some(0.2, 0.4, 0.6), some(0, 0.1, 0.3)
    world.trouble = Trouble(
        dies=some(0, 0, 0.01, 0.04), pauses=some(0, 0, 0.01, 0.05), refuses=some(0, 0, 0.01), forgets=some(0, 0, 0.01)
    )
    world.trouble.lags = some(0, 0, 0.3)


def _power_cut(world: World) -> None:
    """A clock that is wrong by an hour afterwards is only survived where no write is still on its way."""
    chance = world.chance
    step = chance.choice((0.0, 0.0, -3600.0, 3600.0))
    if step > 0 and world.fake.pending_late:
        step = 0.0
    world.power_cut(chance.uniform(1.0, 120.0), step)


def _outage(world: World) -> None:
    world.fake.wire.down = True
    world.tell("the instance is gone")

    def back() -> None:
        world.fake.wire.down = False
        world.tell("the instance is back")

    world.scheduler.after(world.chance.uniform(5.0, 600.0), back)


def come_to_rest(world: World, senders: Senders, persons: Persons, chance: random.Random) -> None:
    """Nothing goes wrong any more, and every problem is reported once more: what stands then must be right."""
    scheduler = world.scheduler
    scheduler.run(world.timeline.seconds + 200.0)  # what is still on its way arrives, the dead come back
    world.tell("from here on nothing goes wrong")
    world.trouble, world.fake.wire = Trouble(), Wire()
    persons.give_way()
    scheduler.run(world.timeline.seconds + 1500.0)
    persons.ask_sync()
    if chance.random() < 0.5:
        persons.review()
    world.look()
    scheduler.run(world.timeline.seconds + max(900.0, _ahead(world)))
    if world.closes_max is not None:
        _merge(world)
    world.tell("each problem is reported once more")
    must_come_back, levels = set(), {}
    for rule in senders.rules:
        states = chance.choice((("firing",), ("resolved",), ("resolved", "firing")))
        noticed = False
        for state in states:
            alert = {"rule": rule, "state": state, "level": chance.choice(("low", "critical"))}
            if world.mapping == "joining" and state == "firing":
                alert["host"] = chance.choice(HOSTS)
            senders.deliver([senders.new((rule,), [alert])])
            if state == "firing":
                levels[rule] = alert["level"]
            pause = chance.choice((1.0, 400.0))
            scheduler.run(world.timeline.seconds + pause)
            noticed = noticed or (state == "resolved" and pause > NOTICED_SECONDS and not _kept_open(world, rule))
        if states == ("resolved", "firing") and noticed and rule not in world.people.deleted_ids:
            must_come_back.add(rule)
    persons.ask_sync(refusals_too=True)
    world.look()
    _rest(world)
    if world.lit:  # nothing is wrong any more, and the bridge says so
        world.look_at_lamps()
        _rest(world)
    world.look()  # the hourly sweep is due by now, which finds what a person has deleted
    _rest(world)
    if world.closes_max is not None:
        if chance.random() < 0.5:
            persons.release()
        _merge(world)
    check_invariants(_evidence(world, must_come_back))
    if chance.random() < 0.3:
        _wake(world)
        check_invariants(_evidence(world, must_come_back))
    _shown(world, levels)


def _kept_open(world: World, rule: str) -> bool:
    """Another problem that shares its incident still fires: no close is due, and nobody reads the record."""
    mine, others, link = tables.correlations.alias(), tables.correlations, tables.episodes.alias()
    newest = tables.episodes
    query = (
        select(func.count())
        .select_from(mine)
        .join(link, (link.c.correlation == mine.c.id) & (link.c.number == mine.c.episode))
        .join(newest, (newest.c.incident == link.c.incident) & (newest.c.correlation != mine.c.id))
        .join(others, (others.c.id == newest.c.correlation) & (others.c.episode == newest.c.number))
        .where(mine.c.correlation_id == rule, others.c.status == Status.FIRING.value)
    )
    with world.store.reading() as tx:
        return bool(tx.execute(query).scalar_one())


def _ahead(world: World) -> float:
    """Seconds until what is reported now is newer than all before: clocks, ours too, may have been ahead."""
    with world.store.reading() as tx:
        newest = tx.execute(select(func.max(tables.alerts.c.event_time))).scalar()
    return (newest - world.timeline.wall()).total_seconds() + 1.0 if newest is not None else 0.0


def _rest(world: World) -> None:
    until = world.timeline.seconds + REST_SECONDS_MAX
    world.scheduler.run(until)
    with world.store.reading() as tx:
        due = tx.execute(select(func.count()).where(tables.correlations.c.due_at.is_not(None))).scalar_one()
    assert due == 0, f"{due} correlations are still due after {REST_SECONDS_MAX / DAY:.0f} quiet days"


def _merge(world: World) -> None:
    """The reconciler has its time, with the rounds that it wakes."""
    for _ in range(LOOKS_MAX):
        world.look()
        world.scheduler.run(world.timeline.seconds + 70.0)
        with world.store.reading() as tx:
            due = select(func.count()).where(strays.c.due_at.is_not(None))
            if tx.execute(due).scalar_one() == 0 and not world.looks:
                break
    else:
        raise AssertionError(f"some strays are still to be worked after {LOOKS_MAX} looks")
    _rest(world)


def _wake(world: World) -> None:
    """At rest nothing is left to say: looked at again, nothing is written."""
    writes = world.fake.writes
    with world.store.transaction() as tx:
        # What a person ended stays so until the source says something; being woken is not that.
        heeded = tables.correlations.c.last_decision == "nothing: closed_by_person"
        tx.execute(update(tables.correlations).where(~heeded).values(due_at=world.store.now(tx)))
    world.scheduler.wake_parked(one=world.chance)
    _rest(world)
    assert world.fake.writes == writes, "at rest, and woken without news it writes"


def _shown(world: World, levels: dict[str, str]) -> None:
    """An open incident shows at least the severity of what was reported last; not a record that people are asked of."""
    with world.store.reading() as tx:
        asked = set(tx.execute(select(strays.c.sys_id).where(strays.c.outcome.in_(REPORTED))).scalars())
    for row in world.fake.simulator.records(world.target.table):
        level = levels.get(row["correlation_id"])
        if level is None or not world.people.is_ours(row) or fake.is_over(row, world.target.table):
            continue
        if row["sys_id"] in asked:
            continue
        facts = world.people.facts(row["sys_id"])
        if facts.reopened:  # it may be one of an earlier episode
            continue
        if "impact" not in facts.edited:
            assert row["impact"] <= IMPACT.get(level, "3"), f"{row['number']} shows impact {row['impact']} for {level}"


def _evidence(world: World, must_come_back: set[str]) -> Evidence:
    accepted = {
        f"{answer.delivery}-{alert.position}"
        for sent in world.sent.values()
        for answer in sent.answers
        for alert in answer.alerts
    }
    wrongs = [*world.wrongs, *world.fake.wrongs, *foreign_changed(world.people, world.fake.simulator.rows)]
    wrongs += [f"{sent.sender_id} was never answered" for sent in world.sent.values() if not sent.answers]
    wrongs += [
        f"{sent.sender_id} was answered as {len({answer.delivery for answer in sent.answers})} deliveries"
        for sent in world.sent.values()
        if len({answer.delivery for answer in sent.answers}) > 1
    ]
    arrived = sum(len(sent.answers) for sent in world.sent.values())
    wrongs += _too_many_creates(world)
    for rule, refused in world.fake.refusals.items():
        if refused > arrived + world.asks.get(rule, 0) + 2:
            wrongs.append(f"{rule}: refused for good {refused} times, and tried again each time")
    simulator = world.fake.simulator
    return Evidence(
        store=world.store,
        installation=INSTALLATION,
        table=world.target.table,
        records=simulator.records(world.target.table),
        journal=simulator.journal,
        violations=simulator.violations,
        accepted=accepted,
        deliveries=len(world.sent),
        people=world.people,
        attachments=simulator.records("sys_attachment"),
        links=simulator.records("sn_ti_m2m_task_observable"),
        events=simulator.records("em_event"),
        wrongs=wrongs,
        twins=world.closes_max is not None,
        closes_max=world.closes_max or 0,
        must_come_back=must_come_back,
        alike=_alike(world) if world.mapping == "joining" else {},
        secrets=(fake.PASSWORD, fake.CLIENT_SECRET),
    )


def _alike(world: World) -> Alike:
    """By what the senders said, whatever the store has made of it."""
    found: dict[str, dict[str, timedelta]] = {}
    for sent in world.sent.values():
        hosts = [alert.get("host") for alert in json.loads(sent.body)["alerts"]]
        ids = {answer.delivery for answer in sent.answers}
        found |= {f"{one}-{at}": {host: JOINS_WITHIN} for one in ids for at, host in enumerate(hosts) if host}
    return found


def _too_many_creates(world: World) -> list[str]:
    """The brake holds exactly, unless somebody let go what it held, the clock was set, a process stopped in the
    middle of a send, or what was sent commits late: its window is over, it counts as not made, and then it is made.
    """
    most = world.target.max_creates_per_hour
    if world.released or world.timeline.offset or world.fake.stalled or world.closes_max is not None:
        return []
    intents, incidents = tables.intents, tables.incidents
    made = select(func.max(intents.c.started_at)).join(incidents, incidents.c.id == intents.c.incident)
    applied = intents.c.operation == "create", intents.c.outcome == "applied", incidents.c.mapping == "probe"
    with world.store.reading() as tx:
        at = sorted(tx.execute(made.where(*applied).group_by(incidents.c.id)).scalars())
    return [
        f"more than {most} creates in the hour after {one}"
        for one, later in zip(at, at[most:], strict=False)
        if later - one < HOUR
    ]


def _rounds(world: World) -> int:
    return sum(entry.endswith("round") for entry in world.story)

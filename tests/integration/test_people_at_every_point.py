"""People win, at every point of each kind of round and with every way of writing: what they did is there in the end."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import pytest
from crashing import at
from intake_world import library_of
from people_world import DEEDS, FALSE, FRED, Deed, ends
from sync_world import PROBE, World, itsm
from ways_world import KEY, TARGETS, aim, staged, unique

from bridge.settings import Target
from bridge.simulator.faults import FaultKind

# Each kind of write has a field that a person may have written meanwhile.
MAPPING = PROBE.replace("  create:\n", '  create:\n    description: "It began."\n')
MAPPING += '  close: {description: "It is over."}\n  reopen: {description: "It is back."}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where incidents are, how they are written, and what people do there."""

    target: Target
    deeds: dict[str, Deed]


HERE = {
    "resolves": ends(state="6", close_code="Workaround provided", close_notes="fixed"),
    "takes": Deed(fields={"assigned_to": FRED}, holds={"state": "1"}),  # nor is it closed under their hands
    **{name: deed for name, deed in DEEDS.items() if name not in ("resolves", "closes", "takes", "makes it urgent")},
}
FEWER = {name: HERE[name] for name in ("resolves", "takes", "moves on", "edits what we wrote")}
THERE = {
    "closes": ends(state="3", close_code="103", close_notes="fixed"),
    "takes": Deed(fields={"assigned_to": FRED}, holds={"state": "10"}),
    "edits what we wrote": HERE["edits what we wrote"],
}
FALSE_HERE = {"false_positive_codes": (FALSE,)}
PLACES = {
    "table": Place(target=itsm(**FALSE_HERE), deeds=HERE),
    "SIR": Place(target=TARGETS["table, SIR"], deeds=THERE),
    "import_set": Place(target=staged(key_field=KEY, **FALSE_HERE), deeds=FEWER),
    "unique": Place(target=replace(unique(), **FALSE_HERE), deeds=FEWER),
}

LOW, HIGH, OVER = {"level": "low"}, {"level": "high"}, {"level": "low", "state": "resolved"}
ROUNDS = {"create": [LOW], "update": [LOW, HIGH], "close": [LOW, OVER], "reopen": [LOW, OVER, LOW]}  # the last one's

READ, SEND, ANSWERED = "before its read", "between read and write", "after the write"  # before an import is read back
LOST, FOUND = "once its answer is lost", "before what was looked up is settled"
BEFORE = {"before the round": "", READ: "read:send", SEND: "write:send"}
AFTER = {ANSWERED: "write:answered", "before it is settled": "applied:commit"}
UNANSWERED = {LOST: "", "within the look-up": "read:answered", FOUND: "applied:commit"}

CELLS = [cell for cell in product(ROUNDS, BEFORE | AFTER | UNANSWERED) if cell[0] != "create" or cell[1] not in BEFORE]
THIN = [cell for cell in CELLS if cell[1] in (READ, SEND, ANSWERED, LOST, FOUND)]
TABLE = [cell for cell in CELLS if cell[0] != "update" or cell[1] in (LOST, FOUND)]  # the rest: test_people_meanwhile
UNIQUE = [cell for cell in THIN if cell[0] in ("create", "close")]  # only its creates are another way than the table's
CASES = [
    (where, kind, point)
    for where, cells in {"table": TABLE, "SIR": THIN, "import_set": THIN, "unique": UNIQUE}.items()
    for kind, point in cells
]

# ServiceNow takes the last of two writes: a field that we are about to send is ours again, and nobody can tell.
WRITTEN_OVER = {
    ("update", SEND): {"description", "impact"},
    ("close", SEND): {"description", "state", "close_code", "close_notes"},
    ("reopen", SEND): {"description", "state"},
}


def untold(where: str, kind: str, point: str) -> bool:
    """Whether an edit stands, and the log does not say so: it was made before we had seen what our own write left."""
    made_before_it_was_seen = kind == "create" and (
        point in UNANSWERED or (where == "import_set" and point == ANSWERED)
    )
    return made_before_it_was_seen or (kind in ("close", "reopen") and point == SEND)


@contextlib.contextmanager
def once(point: str, act: Callable[[], None]) -> Iterator[None]:
    if not point:
        act()
    with at(point, act) if point else contextlib.nullcontext():
        yield


def the_round(world: World, point: str, act: Callable[[], None]) -> None:
    """What is due, during which a person acts."""
    if point not in UNANSWERED:
        with once((BEFORE | AFTER)[point], act):
            world.idle()
        return
    path = "/import/" if world.target.staging is not None else f"/table/{world.table}"
    world.fail(FaultKind.RESET_AFTER_COMMIT, "POST", "PATCH", path=path)
    world.idle()
    with once(UNANSWERED[point], act):
        world.pass_time(seconds=20, step=10)


Act = Callable[[str], object]  # on the record with this sys_id


def story(world: World, acts: dict[str, Act], kind: str, point: str) -> dict[str, str]:
    """Problems up to this round; in the round of each a person acts on its record. Their sys_ids."""
    met: dict[str, str] = {}

    def meet(name: str) -> None:
        (met[name],) = (one["sys_id"] for one in world.records() if one["correlation_id"] == name)
        acts[name](met[name])

    *before, last = ROUNDS[kind]
    for alert in before:
        for name in acts:
            world.fire(name, **alert)
        world.idle()
    for name in acts:
        world.fire(name, **last)
        the_round(world, point, partial(meet, name))
    return met


def deeds_at(world: World, where: str, kind: str, point: str) -> dict[str, str]:
    """Each deed at an incident of its own; after that all go on, worse, and are over. Their sys_ids."""
    world.library = library_of(world.store, MAPPING)
    aim(world, PLACES[where].target)

    def does(deed: Deed) -> Act:
        return lambda sys_id: world.simulator.edit_as_person(world.table, sys_id, deed.fields, user="analyst")

    deeds = PLACES[where].deeds
    met = story(world, {name: does(deed) for name, deed in deeds.items()}, kind, point)
    for alert in (HIGH, OVER):
        world.turn()
        world.clock.advance(minutes=20)
        for name in deeds:
            world.fire(name, **alert)
        world.idle()
    return met


@pytest.mark.parametrize(("where", "kind", "point"), CASES)
def test_what_a_person_does_stands_and_is_told(world: World, where: str, kind: str, point: str) -> None:
    met = deeds_at(world, where, kind, point)
    by_id = {one["sys_id"]: one for one in world.records()}
    over = WRITTEN_OVER.get((kind, point), set())
    wanted, seen = {}, {}
    for name, deed in PLACES[where].deeds.items():
        undone = "state" in over & deed.fields.keys()
        fields = {} if undone else {field: value for field, value in deed.fields.items() if field not in over}
        wanted[name] = fields | deed.holds, deed.why
        shown = {field: by_id[met[name]][field] for field in wanted[name][0]}
        told = [one.get("reason", "") for one in world.log(deed.seen_as) if one["correlation_id"] == name]
        quiet = undone or not fields or (not deed.why and untold(where, kind, point))
        seen[name] = shown, deed.why if quiet else (told or ["untold"])[-1]
    assert seen == wanted
    assert all(many <= 2 for many in Counter(one["correlation_id"] for one in by_id.values()).values())


def test_a_person_who_opens_it_before_its_close_is_read_back_is_no_refusal_of_servicenows(world: World) -> None:
    aim(world, PLACES["import_set"].target)
    world.fire()
    world.idle()
    world.resolve()
    with at("write:answered", lambda: world.person(state="2")):
        world.idle()
    world.turn()
    assert "refused to close" not in "".join(world.notes())
    assert (world.log("failed"), world.record()["state"]) == ([], "2")


# A row that arrives after a deletion makes another record, as docs/guarantees.md says; one that was deleted before it
# was read back waits for a person.
NOT_PROMISED = {("import_set", "close", SEND), ("import_set", "reopen", SEND), ("import_set", "create", ANSWERED)}


@pytest.mark.parametrize(
    ("where", "kind", "point"),
    [
        (where, *cell)
        for where, cell in product(("table", "import_set"), THIN)
        if cell[0] != "update" and (where, *cell) not in NOT_PROMISED
    ],
)
def test_a_deletion_stands(world: World, where: str, kind: str, point: str) -> None:
    """Repeats stay quiet and a return is a new incident. What was gone before anybody saw it is made anew."""
    aim(world, PLACES[where].target)
    story(world, {"r1": lambda sys_id: world.simulator.person_deletes(world.table, sys_id)}, kind, point)
    numbers = []
    for alert in (LOW, OVER, LOW):
        world.turn(sweeps=True)
        world.clock.advance(minutes=20)
        world.fire(**alert)
        world.idle()
        numbers.append(len(world.records()))
    returned = kind == "close" or point in BEFORE or (kind, point) == ("create", LOST)
    assert numbers == ([1, 1, 1] if returned else [0, 0, 1])

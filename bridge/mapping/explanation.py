"""What an explanation says: steps in the order in which an alert meets them, each with its parts. Pure values.

The functions turn what was recorded of one thing, such as a value or a condition, into its step; `explain` puts the
sections together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.alert import Json, MappedAlert, Observable
from bridge.mapping.language import Coalesce, Path, Pipe
from bridge.mapping.model import Node
from bridge.mapping.recording import Event, Part, place_of
from bridge.mapping.rendered import Find
from bridge.mapping.values import is_nothing
from bridge.mapping.written import written, written_key, written_value

TAKEN, LOST, NOT_ASKED = "taken", "lost", "not asked"  # of several, the one that counts; before it; after it
HOLDS, FAILS = "holds", "fails"  # of a condition and its keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One place of the mapping, and what came of it."""

    what: str  # as the file names it: "host", ".host.name", "severity|at_least: high", "route[1]"
    place: str = ""  # file:line; "" for what stands in no file
    verdict: str = ""  # one of the words above; "" where there is nothing to choose
    value: Json = None  # what it gave; of a key of a condition, what it saw; a Find for a record to be looked up
    why: str = ""
    parts: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`match`, `extract`, `severity`, …, `fields.create`: what it came to, and its steps."""

    name: str
    value: Json = None
    why: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that a mapping makes of one alert, as if it were the first of its problem."""

    mapping: str
    now: datetime  # at which suppressions and texts were worked out
    element: int  # its place in the delivery
    elements: int  # alerts in the delivery
    outcome: str  # alert.Outcome
    reason: str = ""  # quarantine: the code; suppressed: by which
    detail: str = ""  # quarantine: the sentence for a person
    mapped: MappedAlert | None = None  # None: quarantined
    observables: tuple[Observable, ...] = ()
    sections: tuple[Section, ...] = field(default_factory=tuple)


def value_step(what: str, event: Event, *, place: str = "") -> Step:
    """A value: of an expression its alternatives, of a text its holes."""
    is_text = isinstance(source := event.part.node.value if event.part.node else None, str) and "{{" in source
    place = place or event.part.place
    if is_text or len(event.events) != 1:
        parts = tuple(_expression_step(hole) for hole in event.of_kind("expression"))
        why = "every hole is empty" if event.value is None and parts else ""
        return Step(what=what, place=place, value=event.value, why=why, parts=parts)
    whole = _expression_step(event.events[0])
    return replace(whole, what=what, place=place, value=event.value)


def _expression_step(event: Event) -> Step:
    """Extracts are not followed into: each has its own step."""
    tree = event.part.tree
    assert tree is not None, "an expression has its tree"  # noqa: S101
    step = Step(what=written(tree), value=event.value)
    if isinstance(tree, Coalesce):
        return replace(step, parts=tuple(_alternative(part, event) for part in event.part.alternatives))
    if isinstance(tree, Pipe) and event.events:
        source = _expression_step(event.events[0])
        emptied = is_nothing(event.value) and not is_nothing(source.value)
        return replace(step, parts=(source,), why="its functions make nothing of this" if emptied else source.why)
    return replace(step, why=_absence(event, is_path=isinstance(tree, Path)))


def _absence(event: Event, *, is_path: bool) -> str:
    if event.value is None:
        return "not in the alert" if is_path else "nothing"
    return "empty" if is_nothing(event.value) else ""


def _alternative(part: Part, coalesce: Event) -> Step:
    event = next((event for event in coalesce.events if event.part is part), None)
    if event is None:
        return Step(what=written(part.tree) if part.tree else "", verdict=NOT_ASKED)
    step = _expression_step(event)
    if part is coalesce.winner:
        return replace(step, verdict=TAKEN)
    return replace(step, verdict=LOST, why=step.why or "not a time")  # only `time:` wants more than something


def condition_step(event: Event, severity: str) -> Step:
    """A condition, down to the key that decided. `severity` is the alert's, which a bound on it saw."""
    node = event.part.node
    assert node is not None, "a condition stands somewhere"  # noqa: S101
    if event.part.kind == "key":
        return _key_step(event, node, severity)
    parts = tuple(condition_step(inner, severity) for inner in event.events)
    if len(parts) == 1:
        return parts[0]
    either = "any of these" if isinstance(node.value, list) else "all of these"
    return Step(what=either, place=place_of(node), verdict=_verdict(event), parts=parts)


def _key_step(event: Event, node: Node, severity: str) -> Step:
    key = str(node.path[-1])
    step = Step(what=written_key(key, node), place=place_of(node), verdict=_verdict(event))
    inner = [condition_step(one, severity) for one in event.events if one.part.kind == "condition"]
    if inner:
        return replace(step, what=key, parts=tuple(inner))
    if not event.events:
        return replace(step, value=severity)
    return replace(step, value=event.events[0].value, why=_expression_step(event.events[0]).why)


def _verdict(event: Event) -> str:
    return HOLDS if event.value else FAILS


def hole_steps(identity: list[Event]) -> list[Step]:
    """The parts of the correlation ID, each with the place of the whole."""
    return [replace(part, place=event.part.place) for event in identity for part in value_step("id", event).parts]


def severity_step(whole: Event, severity: Node) -> Step:
    """The row of the table that has the value, the range that holds it, or the default."""
    for table in whole.of_kind("table"):
        if table.value is not None:
            return _table_row(table)
    for row in whole.of_kind("row"):
        if row.value and row.part.node is not None:
            return Step(what=f"ranges {written_value(row.part.node.value)}", place=row.part.place, verdict=TAKEN)
    default = severity.get("default")
    word = written_value(default.value) if default is not None else "medium"
    why = "no row has this value" if whole.of_kind("table") else ""
    return Step(what=f"default: {word}", place=place_of(default), verdict=TAKEN, why=why)


def _table_row(table: Event) -> Step:
    for value, child in table.part.node.items() if table.part.node is not None else ():
        if value.lower() == table.value:
            return Step(what=f"table {value}: {child.value}", place=place_of(child), verdict=TAKEN)
    return Step(what=f"{table.value} is a word of ours", verdict=TAKEN)  # without a table our own words are its rows


def window_step(event: Event, now: datetime) -> Step:
    """The hours of a suppression, which saw the time."""
    what = f"window {written_value(event.part.node.value)}" if event.part.node is not None else "window"
    return Step(what=what, place=event.part.place, verdict=_verdict(event), value=now)


def bound_step(what: str, node: Node, asked: Event | None) -> Step:
    if asked is None:
        return Step(what=what, place=place_of(node), verdict=NOT_ASKED, why="it would change nothing")
    parts = (condition_step(asked, ""),)
    return Step(what=what, place=place_of(node), verdict=TAKEN if asked.value else LOST, parts=parts)


def field_step(event: Event, field: Node) -> Step:
    """A part of `{by: …, table: …}` or `{find: …, by: …}`."""
    inside = event.part.path[len(field.path) :]
    step = value_step(" ".join(str(key) for key in inside), event)
    is_row = inside[0] in ("table", "default")
    return replace(step, verdict=TAKEN) if is_row else step


def without_values(step: Step) -> Step:
    return replace(step, value=None, parts=tuple(without_values(part) for part in step.parts))


def find_text(find: Find | None) -> str:
    """`sys_user_group where name = SOC L2, else where name = SOC L1`."""
    if find is None:
        return ""
    wanted = " and ".join(f"{column} = {value}" for column, value in find.by)
    rest = find_text(find.otherwise)
    return f"{find.table} where {wanted}" + (f", else {rest}" if rest else "")

"""What a test of a mapping expects, held against what was seen: every key that it may name, and findings. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bridge.alert import Json, MappedAlert
from bridge.correlation.policy import Kind
from bridge.errors import Problem
from bridge.mapping.language import nearest
from bridge.mapping.model import OUTPUT_FIELD
from bridge.mapping.rendered import Find, Rendered
from bridge.mapping.values import clean, text_of, time_of, time_text
from bridge.yamlfile import YamlFile, type_path

ACTIONS = [*(kind.value for kind in Kind), "drop", "suppress", "quarantine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one step of a test brought about."""

    action: str  # of ACTIONS: the decision, or why there was none
    reason: str = ""  # of the decision; else as in the answer to the delivery: a quarantine code, route_drop, …
    outcome: str = ""  # at intake
    route: str = ""  # the target's name, or drop
    mapped: MappedAlert | None = None  # None: quarantined
    event_time: datetime | None = None
    rendered: Rendered = field(default_factory=Rendered)
    why: str = ""  # shown beside a wrong action


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as the test expects it, or that kept the test from running."""

    place: str  # file:line:col
    step: str  # "step 3 (wait 13m)"
    key: str
    expected: str | None  # None: nothing
    got: str | None
    why: str
    path: type_path = ()  # of the value in the file that failed; () when the step could not run
    actual: Json = None  # what was got, as the test would write it

    @classmethod
    def of(
        cls, place: Problem, step: str, key: str, *, expected: str | None = None, got: str | None = None, why: str = ""
    ) -> Finding:
        shown = ":".join(str(part) for part in (place.file, place.line, place.column) if part)
        return cls(place=shown, step=step, key=key, expected=expected, got=got, why=why)

    @property
    def diff(self) -> list[str]:
        """Lines of `- expected` and `+ got`; none when the step could not run."""
        if self.expected == self.got:
            return []
        if self.expected is None or self.got is None:
            return [f"- {_shown(self.expected)}", f"+ {_shown(self.got)}"]
        lines = difflib.ndiff(self.expected.splitlines(), self.got.splitlines())
        return [line.rstrip("\n") for line in lines]

    def lines(self) -> list[str]:
        """The finding as a person reads it."""
        head = f"{self.place}: {self.step}, {self.key}"
        if not self.diff:
            return [f"{head}: {self.why}"]
        why = [f"    {self.why}"] if self.why else []
        return [f"{head} (- expected, + got)", *(f"    {line}" for line in self.diff), *why]


def _shown(text: str | None) -> str:
    return "(nothing)" if text is None else text


def compare(
    file: YamlFile, step_path: type_path, title: str, expect: Json, seen: Seen, outputs: Sequence[str] = ()
) -> list[Finding]:
    """Everything that `expect` asks and `seen` does not answer so. `outputs`: those of the mapping, by name."""
    findings = []
    for key, value in expect.items():
        expected, got = _expected(key, value), _got(key, seen)
        actual: Json = got
        if key == "observables":
            wanted, actual = _observables(value, seen.rendered)
            expected, got = _one_a_line(wanted), _one_a_line(actual)
            actual = {kind: values for kind, values in actual.items() if sorted(values) != sorted(wanted[kind])}
        if expected == got:
            continue
        why = seen.why if key in ("action", "outcome") or got is None else ""
        if key == "action" and expected not in ACTIONS:
            why = f"there is no action `{expected}`: {nearest(str(expected), ACTIONS)}"
        if (named := OUTPUT_FIELD.fullmatch(key)) is not None and named[1] not in outputs:
            why = f"there is no output `{named[1]}`: {nearest(named[1], outputs)}"
        path = (*step_path, "expect", key)
        finding = Finding.of(file.problem(path, ""), title, key, expected=expected, got=got, why=why)
        findings.append(replace(finding, path=path, actual=actual))
    return findings


# Each key that a test may expect, besides `fields.<column>` and `outputs.<name>.<field>`, and where it is read.
READINGS: dict[str, Callable[[Seen], str | None]] = {
    "action": lambda seen: str(seen.action),
    "reason": lambda seen: str(seen.reason),
    "outcome": lambda seen: str(seen.outcome),
    "route": lambda seen: seen.route,
    "severity": lambda seen: seen.mapped.severity.word if seen.mapped else None,
    "status": lambda seen: seen.mapped.status.value if seen.mapped else None,
    "correlation_id": lambda seen: seen.mapped.correlation_id if seen.mapped else None,
    "event_time": lambda seen: time_text(seen.event_time) if seen.event_time else None,
    "suppressed_by": lambda seen: seen.mapped.suppressed_by if seen.mapped else None,
    "observables": lambda _: None,  # a map: compared by kind
    "outputs": lambda seen: ", ".join(one.name for one in seen.rendered.outputs),
}


def _got(key: str, seen: Seen) -> str | None:
    if (named := OUTPUT_FIELD.fullmatch(key)) is not None:
        return _of_output(named[1], named[2], seen.rendered)
    if (column := key.removeprefix("fields.")) == key:
        return READINGS[key](seen)
    if column in seen.rendered.finds:
        return _named(seen.rendered.finds[column])
    return seen.rendered.fields.get(column)


def _of_output(name: str, field: str, rendered: Rendered) -> str | None:
    for one in rendered.outputs:
        if one.name == name:
            return _named(one.finds[field]) if field in one.finds else one.fields.get(field)
    return None


def _named(find: Find) -> str:
    """A record that is to be looked up, by the values that name it."""
    return ", ".join(value for _, value in find.by)


def _expected(key: str, value: Json) -> str | None:
    if value is None:
        return "" if key == "outputs" else None
    if key == "event_time" and (moment := time_of(value)) is not None:
        return time_text(moment)
    return clean(text_of(value))


def _observables(expected: Json, rendered: Rendered) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Those that are expected, and those that there are of their kinds."""
    wanted = {
        kind: [text_of(value) for value in (values if isinstance(values, list) else [values]) if value is not None]
        for kind, values in (expected if isinstance(expected, dict) else {}).items()
    }
    got = {kind: [one.value for one in rendered.observables if one.kind == kind] for kind in wanted}
    return wanted, got


def _one_a_line(observables: dict[str, list[str]]) -> str:
    return "\n".join(f"{kind}: {value}" for kind, values in sorted(observables.items()) for value in sorted(values))

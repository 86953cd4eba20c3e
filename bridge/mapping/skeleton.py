"""The first text of a mapping, from a sample: what is likely, each line with what the sample has there. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridge.alert import Json
from bridge.errors import Misconfigured
from bridge.mapping.language import Path
from bridge.mapping.likely import (
    OCSF,
    OPEN,
    RANKED_ONE_FIRST,
    SCALES,
    SCORE_MAX,
    WORST_FIRST,
    Leaf,
    Likely,
    Steps,
    is_severity_word,
    likely,
)
from bridge.mapping.values import cut, number_of, text_of
from bridge.mapping.written import written
from bridge.yamlfile import parse_yaml

SHOWN_CHARS_MAX = 40  # of a value in a comment
COMMENT_COLUMN = 41
EACH_LIMIT = 1000
PARTS = (90, 70, 40)  # of a hundred: from where a number is one of BOUNDS
BOUNDS = ("critical", "high", "medium")
TOPS = (10, 100, SCORE_MAX)  # where scales end

_OWN_FIELDS = {
    "itsm": "{impact: 2, urgency: {by: severity, table: {critical: 1, high: 1, medium: 2}, default: 3}}",
    "sir": "{priority: {by: severity, table: {critical: 1, high: 2, medium: 3}, default: 4}}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A delivery to write a mapping for."""

    path: str  # below the mappings folder
    each: str  # where its alerts are; "" when it is one
    alert: Json  # the first of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str  # of bridge.yaml
    kind: str  # "itsm", "sir", or "" for another table


def skeleton(name: str, sample: Sample, target: Target) -> str:
    """A mapping that compiles. What its one test expects besides the action is for a first run to fill in."""
    found = likely(sample.alert)
    extracts = _extracts(found)
    lines = [
        "# yaml-language-server: $schema=./mapping.schema.json",
        f"# Begun by `bridge mapping new` from {sample.path}. It guesses by names: read every line, and mend it.",
        f"# `bridge mapping test {name}` runs the test below; `bridge check` tells what is wrong.",
        f"mapping: {name}",
        "version: 1",
        _line("owner: soc@corp.example", "who answers for this mapping"),
        "",
        *_match(sample, found),
        *_each(sample.each),
        *_extract_section(extracts),
        "",
        *_time(found.time),
        *(["personal: [user]"] if found.user else []),
        "",
        *_severity(found.severity),
        "",
        *_correlation(name, found, extracts),
        "",
        *_route(target),
        "",
        *_fields(found, extracts, target),
        *_observables(found),
        "",
        *_tests(found, sample, target),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str) -> str:
    return f"{text.ljust(COMMENT_COLUMN - 2)}  # {comment}"


def _shown(value: Json) -> str:
    start = text_of(value)[: SHOWN_CHARS_MAX * 10]
    printable = "".join(letter for letter in start if letter.isprintable() or letter.isspace())
    return cut(" ".join(printable.split()), SHOWN_CHARS_MAX)


def _yaml(expression: str) -> str:
    """An expression as YAML takes it: in single quotes where it would read something else, between braces too."""
    try:
        plain = parse_yaml(f"[{expression}]".encode(), "").value == [expression]
    except Misconfigured:
        plain = False
    return expression if plain and "[" not in expression else "'" + expression.replace("'", "''") + "'"


def _extracts(found: Likely) -> dict[str, Leaf]:
    """The extracts by name; what two of them would say alike stands once."""
    wanted = {
        "alert_id": found.identity,
        "rule": found.rule,
        "title": found.title,
        "place": found.place,
        "message": found.message,
        "state": found.status,
        "page": found.page,
        "user": found.user,
    }
    result: dict[str, Leaf] = {}
    for name, leaf in wanted.items():
        if leaf is not None and leaf.steps not in [other.steps for other in result.values()]:
            result[name] = leaf
    return result


def _match(sample: Sample, found: Likely) -> Iterator[str]:
    """By the fields that tell this product's alerts; a delivery is matched as a whole."""
    before = _elements(sample.each)
    leaves = [leaf for leaf in (found.identity or found.rule or found.title, found.severity or found.time) if leaf]
    yield _line("match:", "which deliveries are meant for this mapping: others wait in quarantine")
    if not leaves:
        yield "  .|exists: true"
    for leaf in leaves:
        yield f"  {_yaml(_join(before, leaf.steps) + '|exists')}: true"


def _elements(each: str) -> str:
    return each if not each or each.endswith("]") else f"{each}[]"


def _join(before: str, steps: Steps) -> str:
    path = written(Path(steps))
    if not before:
        return path
    return before + (path.removeprefix(".") if path.startswith(".[") else path)


def _each(each: str) -> Iterator[str]:
    if each:
        text = f"each: {{in: {json.dumps(each, ensure_ascii=False)}, limit: {EACH_LIMIT}}}"
        yield _line(text, "one delivery, many alerts: all below sees one at a time")


def _extract_section(extracts: Mapping[str, Leaf]) -> Iterator[str]:
    if extracts:
        yield ""
        yield _line("extract:", ".x looks into the alert; a bare word is an earlier line here")
    for name, leaf in extracts.items():
        path = written(Path(leaf.steps)) + (" | truncate(1000)" if name == "message" else "")
        yield _line(f"  {name}: {_yaml(path)}", _shown(leaf.value))


def _time(leaf: Leaf | None) -> Iterator[str]:
    if leaf is None:
        yield "# time: .updated_at                    # nothing looks like a time: alerts are ordered as they arrive"
    else:
        yield _line(
            f"time: {_yaml(written(Path(leaf.steps)))}",
            f"when it happened, by the source's clock: {_shown(leaf.value)}",
        )


def _severity(leaf: Leaf | None) -> Iterator[str]:
    if leaf is None:
        yield _line("severity: {default: medium}", "nothing in the sample says how bad it is")
        return
    source, value = f"  from: {_yaml(written(Path(leaf.steps)))}", f"{_shown(leaf.value)} in the sample"
    yield "severity:"
    if table := _table(leaf):
        words, comment = table
        yield _line(source, value + comment)
        yield f"  table: {{{', '.join(f'{word}: {ours}' for word, ours in words.items())}}}"
        yield "  default: medium"
    else:
        top, ranges = _ranges(leaf)
        yield _line(source, f"{value}: the scale is taken to end at {top}")
        yield f"  ranges: [{ranges}]"
        yield "  default: low"


def _table(leaf: Leaf) -> tuple[Mapping[str, str], str] | None:
    """The scale of a severity that is a word or a rank; None for a number that grows."""
    value = str(leaf.value)
    if is_severity_word(leaf):
        return _scale(value), ": add what else the product says"
    if leaf.names[-1] == "severity_id" and value in OCSF:
        return OCSF, ": the scale of OCSF"
    if leaf.names[-1] in RANKED_ONE_FIRST and value in WORST_FIRST:
        return WORST_FIRST, ": 1 is taken for the worst, turn it round if it is not"
    return None


def _scale(value: str) -> Mapping[str, str]:
    """The scale that has the word, written as the sample writes it."""
    spelt = str.upper if value.isupper() else str.capitalize if value[:1].isupper() else str.lower
    scale = next(scale for scale in SCALES if value.lower() in scale)
    return {spelt(word): ours for word, ours in scale.items()}


def _ranges(leaf: Leaf) -> tuple[int, str]:
    """For a number that grows; where its scale ends is told by its size."""
    number = number_of(leaf.value) or 0
    top = next(top for top in TOPS if number <= top and not (top == TOPS[0] and "score" in leaf.names[-1]))
    bounds = zip(PARTS, BOUNDS, strict=True)
    return top, ", ".join(f"{{gte: {top * part / 100:g}, to: {word}}}" for part, word in bounds)


def _correlation(name: str, found: Likely, extracts: Mapping[str, Leaf]) -> Iterator[str]:
    """The text of the ID, and the other one that it might be."""
    by_leaf = {leaf.steps: extract for extract, leaf in extracts.items()}
    parts = [by_leaf[leaf.steps] for leaf in (found.rule or found.title, found.place) if leaf]
    coarse = ":".join(f"{{{{ {part} }}}}" for part in dict.fromkeys(parts))
    yield _line("correlation:", "alerts with one id are one problem, and one incident")
    if found.identity and found.identity.words[-1] == "number" and found.place:
        yield _line(f'  id: "{name}:{{{{ place }}}}:{{{{ alert_id }}}}"', "a number is counted for each place")
    elif found.identity:
        yield f'  id: "{name}:{{{{ {by_leaf[found.identity.steps]} }}}}"'
        if coarse and len(parts) == 2 and by_leaf[found.identity.steps] not in parts:
            yield _line(f'  # id: "{name}:{coarse}"', "instead, if each repeat has an id of its own")
    elif coarse:
        yield _line(f'  id: "{name}:{coarse}"', "nothing looks like the id of an alert")
    else:
        yield _line(
            f'  id: "{name}:{{{{ . | hash(16) }}}}"',
            "nothing looks like an identity: every alert that differs is a problem",
        )
    yield f"  display: {name}"
    yield from _closing(found.status)


def _closing(leaf: Leaf | None) -> Iterator[str]:
    if leaf is None:
        yield "  # close_when: {.status: resolved}    # nothing in the sample says when it is over"
        return
    value = str(leaf.value)
    words = [value.lower(), *OPEN.get(value.lower(), ())][(1 if value.lower() in OPEN else 0) :]
    spelt = str.upper if value.isupper() else str.lower
    listed = ", ".join(_yaml(spelt(word)) for word in words)
    yield _line(f"  close_when: {{state: [{listed}]}}", f"{_shown(value)} in the sample")


def _route(target: Target) -> Iterator[str]:
    yield _line("route:", "where incidents go; the first match wins")
    yield "  # - {when: {severity|at_least: high}, to: sir, assignment_group: SOC L2}"
    yield _line(f"  - {{to: {target.name}}}", "assignment_group: <name>; without it ServiceNow's rules decide")


def _fields(found: Likely, extracts: Mapping[str, Leaf], target: Target) -> Iterator[str]:
    title = next((name for name in ("title", "rule", "alert_id") if name in extracts), "")
    place = " on {{ place }}" if "place" in extracts else ""
    named = {"rule": "Rule: ", "place": "Where: ", "alert_id": "Alert: ", "page": "Console: "}
    named = {"message" if "message" in extracts else "title": ""} | named
    yield "fields:"
    yield "  create:"
    named_by = f"{{{{ {title} | truncate(100) }}}}" if title else "an alert"
    yield f'    short_description: "[{{{{ severity | title }}}}] {named_by}{place}"'
    yield "    description: |"
    described = [f"      {words}{{{{ {name} }}}}" for name, words in named.items() if name in extracts]
    yield from described or ["      {{ . | truncate(3000) }}"]
    if target.kind in _OWN_FIELDS:
        yield "  on:"
        yield f"    {target.kind}:"
        yield f"      create: {_OWN_FIELDS[target.kind]}"
    yield "  update:"
    yield "    work_notes: \"Seen {{ repeat_count }} times, last at {{ last_seen | date('%Y-%m-%d %H:%M UTC') }}.\""
    if found.status:
        yield "  close:"
        yield "    close_notes: \"{{ state | title }} at the source at {{ now | date('%Y-%m-%d %H:%M UTC') }}.\""


def _observables(found: Likely) -> Iterator[str]:
    kinds = {kind: [_yaml(written(Path(path))) for path in paths] for kind, paths in found.observables.items()}
    if found.user:
        kinds["user"] = ["user"]
    if kinds:
        yield ""
        yield "observables:"
    for kind, paths in kinds.items():
        listed = ", ".join(paths)
        yield f"  {kind}: {listed if len(paths) == 1 else f'[{listed}]'}"


def _tests(found: Likely, sample: Sample, target: Target) -> Iterator[str]:
    over = found.status is not None and str(found.status.value).lower() not in OPEN
    guess = "unknown"  # until the first run
    expect = {"action": "nothing", "status": "resolved"} if over else {"action": "create", "route": target.name}
    expect |= {"severity": guess, "correlation_id": guess} | ({} if over else {"fields.short_description": guess})
    yield "tests:"
    yield f"  - name: {'the sample is over already and opens nothing' if over else 'the sample opens an incident'}"
    yield f"    alert: {_yaml(sample.path)}"
    yield "    expect:"
    for key, value in expect.items():
        yield f"      {key}: {value}"

"""Lints that hold a mapping against the alerts of tests: paths, names, severities, whose alerts it takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from bridge.alert import SEVERITY_OF, Json
from bridge.mapping.language import Path, names_in
from bridge.mapping.lint.subject import SHOWN_CHARS, Finding, Subject, takes
from bridge.mapping.lint.uses import leaves
from bridge.mapping.values import cut, is_nothing, number_of, text_of
from bridge.mapping.written import written


def path_in_no_sample(subject: Subject) -> Iterator[Finding]:
    elements = [alert.element for alert in subject.alerts]
    told: set[tuple[bool, Path]] = set()
    for use in subject.uses:
        documents = subject.deliveries if use.of_delivery else elements
        for leaf in leaves(use.tree, {}):
            key = (use.of_delivery, leaf)
            if not isinstance(leaf, Path) or use.negated or not documents or key in told:
                continue
            if not any(_there(document, leaf.steps) for document in documents):
                told.add((use.of_delivery, leaf))
                message = f"no alert of the tests has {written(leaf)}"
                yield Finding(use.node, message, _near(leaf, documents), at_key=use.at_key)


def _there(value: Json, steps: Sequence[str | int | None]) -> bool:
    """Whether a path leads to something, null included: then the field is known."""
    if not steps:
        return True
    step, rest = steps[0], steps[1:]
    if step is None:
        return any(_there(item, rest) for item in (value if isinstance(value, list) else [value]))
    if isinstance(step, str):
        return isinstance(value, dict) and step in value and _there(value[step], rest)
    if isinstance(value, list):
        return step < len(value) and _there(value[step], rest)
    return step == 0 and _there(value, rest)


def _near(path: Path, documents: list[Json]) -> str:
    """The path with its first unknown key put right, if one of the alerts has a key that is near."""
    for at, step in enumerate(path.steps):
        if isinstance(step, str) and not any(_there(document, path.steps[: at + 1]) for document in documents):
            keys = {key for document in documents for key in _keys(document, path.steps[:at])}
            if close := get_close_matches(step, sorted(keys), 1, 0.7):
                return f"did you mean {written(Path((*path.steps[:at], close[0], *path.steps[at + 1 :])))}?"
            break
    return "add a sample that has it, or a test that sets it with `change`"


def _keys(value: Json, steps: Sequence[str | int | None]) -> set[str]:
    if not steps:
        return set(value) if isinstance(value, dict) else set()
    step, rest = steps[0], steps[1:]
    if step is None:
        return set().union(*(_keys(item, rest) for item in (value if isinstance(value, list) else [value])))
    if isinstance(step, str):
        return _keys(value[step], rest) if isinstance(value, dict) and step in value else set()
    return _keys(value[step], rest) if isinstance(value, list) and step < len(value) else set()


def extract_never_used(subject: Subject) -> Iterator[Finding]:
    """Those of a shared file may be for another mapping."""
    used = set().union(*(names_in(use.tree) for use in subject.uses))
    extract = subject.root.get("extract")
    for name, line in extract.items() if extract is not None else ():
        if name not in used and line.file is subject.mapping.yaml:
            yield Finding(line, f"`{name}` is never used", "delete it, or use it", at_key=True)


def severity_not_in_table(subject: Subject) -> Iterator[Finding]:
    """What tests set may be meant to be odd; a number is for `ranges` to place, where there are some."""
    use = next((use for use in subject.uses if use.section == "severity" and not use.at_key), None)
    severity = subject.root.get("severity")
    if use is None or severity is None:
        return
    table, default, ranges = (severity.get(key) for key in ("table", "default", "ranges"))
    known = {word.lower() for word, _ in table.items()} if table is not None else set(SEVERITY_OF)
    for alert in subject.alerts:
        value = None if alert.changed else subject.value_of(use.tree, alert)
        word = text_of(value)
        if is_nothing(value) or word.lower() in known or (ranges is not None and number_of(value) is not None):
            continue
        known.add(word.lower())
        result = default.value if default is not None else "medium"
        message = (
            f"the severity `{cut(word, SHOWN_CHARS)}` of {alert.sample} is not in the table: such an alert is {result}"
        )
        yield Finding(use.node, message, f"add it: table: {{{cut(word, SHOWN_CHARS)}: …}}")


def takes_foreign_alerts(subject: Subject) -> Iterator[Finding]:
    """One sample is enough: it says what to tell apart."""
    match, head = subject.root.get("match"), subject.root.get("mapping") or subject.root
    for name, document in subject.foreign.items():
        if takes(subject.mapping, document):
            hint = "ask for a field that only this source's alerts have: {.a.b|exists: true}"
            if match is not None:
                yield Finding(match, f"`match` holds for {name} of another mapping", hint, at_key=True)
            else:
                yield Finding(head, f"there is no `match`: this takes {name} of another mapping as well", hint)
            return

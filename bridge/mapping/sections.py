"""Compiles the sections of a mapping file, in the order in which an alert meets them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from bridge.alert import SEVERITY_OF, Json, Severity
from bridge.correlation.policy import Policy
from bridge.errors import Unmappable
from bridge.mapping.compile import Each, Mapping, Route, Suppression
from bridge.mapping.compiler import Compiler
from bridge.mapping.conditions import Condition, compile_condition
from bridge.mapping.evaluate import (
    AFTER_SEVERITY,
    AFTER_STATUS,
    BEFORE_SEVERITY,
    UNSET,
    Getter,
    Names,
    Scope,
    compile_expression,
    compile_path,
    compile_text,
)
from bridge.mapping.language import LanguageError, Path, Text, nearest, parse_expression
from bridge.mapping.model import (
    ALERTS_PER_DELIVERY_MAX,
    FILE,
    NAME,
    UNTIL_DAYS_MAX,
    Node,
    Report,
)
from bridge.mapping.render import compile_fields, compile_group, compile_observables
from bridge.mapping.shape import check_tests
from bridge.mapping.values import clean, text_of
from bridge.yamlfile import YamlFile

Getters = tuple[Getter, ...]


def compile_mapping(
    root: Node, name: str, *, yaml: YamlFile, files: dict[str, str], digest: str, report: Report, today: date | None
) -> Mapping | None:
    """The mapping of a file with its includes merged in; None when the report holds problems."""
    if not report.keys(root, "mapping", FILE["required"]):
        return None
    compiler = Compiler(report)
    _check_head(root, name, report)
    matches = _when(root.get("match"), Compiler(report), BEFORE_SEVERITY)  # before the extracts: paths only
    each = _each(root.get("each"), report)
    if (extract := root.get("extract")) is not None:
        compiler.extracts(extract)
    time = root.get("time")
    event_time = compiler.expression(time, BEFORE_SEVERITY, times=True)[0] if time is not None else None
    severity = _severity(root.get("severity"), compiler)
    correlation = root.get("correlation") or root
    report.keys(correlation, "correlation", ("id",)) if correlation is not root else None
    routes = _routes(root.get("route"), compiler)
    fields_node, observables = root.get("fields"), root.get("observables")
    mapping = Mapping(
        name=name,
        version=_scalar(root, "version", report),
        owner=_scalar(root, "owner", report),
        display=_scalar(correlation, "display", report) or name,
        digest=digest,
        files=files,
        yaml=yaml,
        tests=check_tests(root.get("tests"), report),
        policy=_policy(correlation, report),
        targets=frozenset(route.target for route in routes if route.target is not None),
        personal=_personal(root.get("personal"), compiler),
        suppressions=_suppressions(root.get("suppress"), compiler, today),
        routes=routes,
        matches=matches,
        each=each,
        blank=[UNSET] * len(list(extract.items())) if extract is not None else [],
        event_time=event_time,
        severity=severity,
        identity=_identity(correlation.get("id"), compiler),
        closing=_when(correlation.get("close_when"), compiler, AFTER_SEVERITY),
        fields=compile_fields(fields_node, compiler) if fields_node is not None else {},
        observables=compile_observables(observables, compiler) if observables is not None else (),
    )
    return None if report.problems else mapping


def _check_head(root: Node, name: str, report: Report) -> None:
    node = root.get("mapping")
    if node is not None and node.value != name:
        report.error(node, f"the mapping is called `{node.value}` and its file {name}.yaml", f"write mapping: {name}")


def _scalar(node: Node, key: str, report: Report) -> str:
    child = node.get(key)
    return report.text(child) if child is not None else ""


def _when(node: Node | None, compiler: Compiler, known: frozenset[str]) -> Condition | None:
    return compile_condition(node, compiler.names, known, compiler.report) if node is not None else None


def _each(node: Node | None, report: Report) -> Each | None:
    if node is None or not report.keys(node, "each", ("in",)):
        return None
    limit_node, source = node.get("limit"), node.get("in")
    limit = limit_node.value if limit_node is not None else ALERTS_PER_DELIVERY_MAX
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= ALERTS_PER_DELIVERY_MAX:
        report.error(limit_node or node, f"`limit` is a number from 1 to {ALERTS_PER_DELIVERY_MAX}")
        limit = ALERTS_PER_DELIVERY_MAX
    if source is None:
        return None
    try:
        tree = parse_expression(str(source.value))
        getter = (
            compile_path(tree, most=limit + 1)
            if isinstance(tree, Path)
            else compile_expression(tree, Names(), BEFORE_SEVERITY)
        )
    except LanguageError as error:
        report.error(source, error.message, error.hint)
        return None
    return Each(elements=getter, limit=limit, source=str(source.value))


def _personal(node: Node | None, compiler: Compiler) -> frozenset[str]:
    names = set()
    for child in node.elements() if node is not None else []:
        if child.value in compiler.names.extracts:
            names.add(str(child.value))
        else:
            hint = nearest(str(child.value), list(compiler.names.extracts))
            compiler.report.error(child, f"`{child.value}` is not an extract", hint)
    return frozenset(names)


def _severity(node: Node | None, compiler: Compiler) -> Callable[[Scope], Severity]:
    if node is None or not compiler.report.keys(node, "severity"):
        return lambda _: Severity.MEDIUM
    source, default = node.get("from"), node.get("default")
    getter = compiler.expression(source, BEFORE_SEVERITY)[0] if source is not None else None
    table = _severity_table(node.get("table"), compiler.report)
    otherwise = _word(default, compiler.report) if default is not None else Severity.MEDIUM
    raises = _bounds(node.get("raise_to"), compiler)
    lowers = _bounds(node.get("lower_to"), compiler)

    def severity(scope: Scope) -> Severity:
        result = otherwise
        if getter is not None:
            value = getter(scope)
            result = table.get((value if value.__class__ is str else text_of(value)).lower(), otherwise)
        for word, when in raises:
            if result < word and when(scope):
                result = word
        for word, when in lowers:
            if result > word and when(scope):
                result = word
        return result

    return severity


def _severity_table(node: Node | None, report: Report) -> dict[str, Severity]:
    """Values of the source, in lower case, and our word. Without a table the source's words are ours."""
    if node is None:
        return dict(SEVERITY_OF)
    if isinstance(node.value, list):
        report.error(node, "a severity table of ranges is not yet supported", "a map of value: severity")
        return {}
    if not isinstance(node.value, dict):
        report.error(node, "a map of value: severity is expected here", "{CRITICAL: critical, HIGH: high}")
    table: dict[str, Severity] = {}
    for value, child in node.items():
        word = _word(child, report)
        if table.setdefault(value.lower(), word) is not word:
            report.error(child, f"`{value}` stands here twice, but for case", "keep one of them", at_key=True)
    return table


def _word(node: Node, report: Report) -> Severity:
    if isinstance(node.value, str) and node.value in SEVERITY_OF:
        return SEVERITY_OF[node.value]
    report.error(node, f"`{node.value}` is not a severity", nearest(str(node.value), list(SEVERITY_OF)))
    return Severity.MEDIUM


def _bounds(node: Node | None, compiler: Compiler) -> list[tuple[Severity, Condition]]:
    """`raise_to` and `lower_to`: a severity and when it is a bound."""
    result = []
    if node is not None and not isinstance(node.value, dict):
        compiler.report.error(node, "a map of severity: condition is expected here", "{critical: {risk|gte: 90}}")
    for word, child in node.items() if node is not None else ():
        if word not in SEVERITY_OF:
            hint = nearest(word, list(SEVERITY_OF))
            compiler.report.error(child, f"`{word}` is not a severity", hint, at_key=True)
            continue
        condition = compile_condition(child, compiler.names, BEFORE_SEVERITY, compiler.report)
        result.append((SEVERITY_OF[word], condition))
    return result


def _identity(node: Node | None, compiler: Compiler) -> Callable[[Scope], str]:
    """The text of the correlation ID. A part that is empty sends the alert to quarantine: there is never an ID ":"."""
    if node is None:
        return lambda _: ""
    tree = compiler.text_tree(node)
    if not tree.holes and tree.parts:
        hint = '"{{ rule }}:{{ host }}"'
        compiler.report.error(node, "the ID names no part of the alert: all alerts would be one problem", hint)
    parts: list[str | tuple[Getter, str]] = []
    for part in tree.parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        try:
            getter = compile_text(Text((part,)), compiler.names, BEFORE_SEVERITY)
        except LanguageError as error:
            compiler.report.error(node, error.message, error.hint)
            continue
        parts.append((getter, part.source))
    steps = tuple(parts)

    def identity(scope: Scope) -> str:
        texts = []
        for step in steps:
            if isinstance(step, str):
                texts.append(step)
                continue
            getter, source = step
            text = getter(scope)
            if not text or not clean(text):
                raise Unmappable(
                    "empty_identity",
                    f"the part {{{{ {source} }}}} of correlation.id is empty in this alert: name a field it carries",
                )
            texts.append(text)
        return "".join(texts)

    return identity


_REOPEN_ELSE = {"create": True, "nothing": False}


def _policy(node: Node, report: Report) -> Policy:
    values: dict[str, Json] = {}
    if (every := node.get("update_every")) is not None:
        values["update_every"] = tuple(report.duration(child) for child in every.elements())
        if not values["update_every"] or min(values["update_every"]) < timedelta(minutes=1):
            report.error(every, "an interval of update_every is at least 1m", "[15m, 1h, 4h, 24h]")
    if (after := node.get("close_after")) is not None:
        values["close_after"] = report.duration(after)
    if (reopen := node.get("reopen")) is not None and report.keys(reopen, "reopen"):
        if (within := reopen.get("within")) is not None:
            values["reopen_within"] = report.duration(within)
        if (otherwise := reopen.get("else")) is not None:
            if otherwise.value not in _REOPEN_ELSE:
                report.error(otherwise, "`else` is create or nothing")
            values["reopen_else_create"] = _REOPEN_ELSE.get(str(otherwise.value), True)
    if (person := node.get("after_person")) is not None and report.keys(person, "after_person"):
        for key, child in person.items():
            values[f"after_person_{key}"] = report.duration(child)
    known = {key: value for key, value in values.items() if key in Policy.__slots__}
    return Policy(**known)


def _suppressions(node: Node | None, compiler: Compiler, today: date | None) -> tuple[Suppression, ...]:
    result: dict[str, Suppression] = {}
    for child in node.elements() if node is not None else []:
        if not compiler.report.keys(child, "suppress", ("name", "reason", "when")):
            continue
        name, when = _scalar(child, "name", compiler.report), child.get("when")
        if name in result:
            compiler.report.error(child, f"a suppression `{name}` stands here twice", "each has a name of its own")
        result[name] = Suppression(
            name=name,
            reason=_scalar(child, "reason", compiler.report),
            ticket=_scalar(child, "ticket", compiler.report),
            ends_at=_end(child, compiler.report, today),
            when=_when(when, compiler, AFTER_STATUS) or (lambda _: False),
        )
    return tuple(result.values())


def _end(node: Node, report: Report, today: date | None) -> datetime | None:
    """`until` is the last day on which the suppression holds, in UTC; None: `permanent: true`."""
    until, permanent = node.get("until"), node.get("permanent")
    if (until is None) == (permanent is None):
        report.error(node, "a suppression has an end", "until: 2027-03-31, or permanent: true")
    if permanent is not None and permanent.value is not True:
        report.error(permanent, "`permanent` is true, or is left out for `until`")
    if until is None:
        return None
    try:
        day = date.fromisoformat(str(until.value))
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        report.error(until, f"`{until.value}` is not a date", "2027-03-31")
        return None
    if today is not None and day - today > timedelta(days=UNTIL_DAYS_MAX):
        report.error(
            until, f"`{until.value}` is more than twelve months away", "permanent: true, if it is meant to stay"
        )
    return end


def _routes(node: Node | None, compiler: Compiler) -> tuple[Route, ...]:
    report = compiler.report
    routes = []
    for index, child in enumerate(node.elements() if node is not None else []):
        if not report.keys(child, "route", ("to",)):
            continue
        to = _scalar(child, "to", report)
        if to and NAME.fullmatch(to) is None:
            report.error(child.get("to") or child, f"`{to}` is not the name of a target", "as in bridge.yaml, or drop")
        if child.get("else_group") is not None and child.get("assignment_group") is None:
            report.error(child, "`else_group` needs an `assignment_group` before it")
        routes.append(
            Route(
                place=f"route[{index}]",
                target=None if to == "drop" else to,
                when=_when(child.get("when"), compiler, AFTER_STATUS),
                group=compile_group(child, compiler),
            )
        )
    if node is not None and not routes and not report.problems:
        report.error(node, "a mapping has at least one route", "route: [{to: itsm}]")
    return tuple(routes)

"""Compiles the sections of a mapping file, in the order in which an alert meets them. Pure."""

from __future__ import annotations

import sys
from datetime import date

from bridge.mapping.compile import Each, Mapping, Route, digest_of
from bridge.mapping.compiler import Compiler
from bridge.mapping.conditions import Condition, compile_condition
from bridge.mapping.correlation import compile_formers, compile_identity, compile_joins, compile_policy
from bridge.mapping.evaluate import (
    AFTER_SEVERITY,
    AFTER_STATUS,
    BEFORE_SEVERITY,
    UNSET,
    Getter,
    Names,
    compile_expression,
)
from bridge.mapping.language import LanguageError, nearest, parse_expression
from bridge.mapping.lookups import Lookups
from bridge.mapping.model import (
    ALERTS_PER_DELIVERY_MAX,
    EXTRACT_NAME,
    FILE,
    NAME,
    Node,
    Report,
)
from bridge.mapping.outputs import compile_outputs
from bridge.mapping.product import compile_product
from bridge.mapping.quiet import told_of
from bridge.mapping.render import compile_fields, compile_group, compile_observables
from bridge.mapping.severity import compile_severity
from bridge.mapping.shape import check_tests
from bridge.mapping.suppression import compile_suppressions
from bridge.mapping.watch import Watch
from bridge.mapping.written import written
from bridge.yamlfile import YamlFile


def compile_mapping(
    root: Node,
    name: str,
    *,
    yaml: YamlFile,
    files: dict[str, str],
    lookups: Lookups,
    report: Report,
    today: date | None,
    watch: Watch,
) -> Mapping | None:
    """The mapping of a file with its includes merged in, whose texts are `files`; None when the report has problems."""
    if not report.keys(root, "mapping", FILE["required"]):
        return None
    for key, section in root.items():
        if key != "tests":
            report.cut_by_yaml(section)
    watch.whole(root)
    compiler = Compiler(report, lookups, watch)
    _check_head(root, name, report)
    matches = _when(root.get("match"), compiler, BEFORE_SEVERITY)  # before the extracts: paths only
    matched = tuple((written(path), getter) for path, getter in compiler.names.paths.items())
    each = _each(root.get("each"), compiler)
    compiler.names.paths.clear()  # until here they look into the delivery
    if (extract := root.get("extract")) is not None:
        compiler.extracts(extract)
    time = root.get("time")
    event_time = compiler.expression(time, BEFORE_SEVERITY, times=True)[0] if time is not None else None
    severity = compile_severity(root.get("severity"), compiler)
    correlation = root.get("correlation") or root
    report.keys(correlation, "correlation", ("id",)) if correlation is not root else None
    identity = compile_identity(correlation.get("id"), compiler)
    formers = compile_formers(correlation.get("formerly"), compiler)
    closing = _when(correlation.get("close_when"), compiler, AFTER_SEVERITY)
    joins = compile_joins(correlation.get("join"), compiler)
    suppressions = compile_suppressions(root.get("suppress"), compiler, today)
    routes = _routes(root.get("route"), compiler)
    fields = compile_fields(root.get("fields"), compiler)
    observables = compile_observables(root.get("observables"), compiler)
    display = _scalar(correlation, "display", report) or name
    outputs = compile_outputs(root.get("outputs"), compiler, source=display)
    files = files | lookups.files  # whatever asks a table has asked by now
    mapping = Mapping(
        name=name,
        version=_scalar(root, "version", report),
        owner=_scalar(root, "owner", report),
        display=display,
        digest=digest_of(files),
        files=files,
        yaml=yaml,
        tree=root,
        names=compiler.names,
        tests=check_tests(root.get("tests"), report),
        policy=compile_policy(correlation, report),
        attach=_attach(root.get("attach"), report),
        joins=joins,
        targets=frozenset(route.target for route in routes if route.target is not None),
        personal=_personal(root.get("personal"), compiler),
        suppressions=suppressions,
        routes=routes,
        quiet=told_of(suppressions, routes, _scalar(root, "owner", report)),
        matches=matches,
        reads=tuple((written(path), getter) for path, getter in compiler.names.paths.items()),
        matched=matched,
        each=each,
        blank=[UNSET] * compiler.slots,
        event_time=event_time,
        severity=severity,
        identity=identity,
        formers=formers,
        closing=closing,
        fields=fields,
        observables=observables,
        outputs=outputs,
        product=compile_product(root.get("product"), report),
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


def _attach(node: Node | None, report: Report) -> bool:
    if node is not None and not isinstance(node.value, bool):
        report.error(node, "`attach` is true or false")
    return node is not None and node.value is True


def _each(node: Node | None, compiler: Compiler) -> Each | None:
    report = compiler.report
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
        # All of them: one that is cut off here would be lost, and nobody told.
        names = Names(compiler.names.lookups, compiler.names.watch, most=sys.maxsize)
        getter = compile_expression(parse_expression(str(source.value)), names, BEFORE_SEVERITY)
    except LanguageError as error:
        report.error(source, error.message, error.hint)
        return None
    elements = compiler.watch.part("value", source, getter)
    return Each(elements=elements, limit=limit, source=str(source.value), beside=_beside(node.get("with"), compiler))


def _beside(node: Node | None, compiler: Compiler) -> tuple[tuple[str, Getter], ...]:
    """`with`: keys that each element gets, and where the delivery has their values."""
    if node is None:
        return ()
    if not isinstance(node.value, dict):
        compiler.report.error(node, "a map of key: expression is expected here", "with: {account: .detail.account}")
    result = []
    for key, child in node.items():
        if EXTRACT_NAME.fullmatch(key) is None:
            compiler.report.error(
                child, f"`{key}` is not a key", "letters, digits and _; it is read as .key", at_key=True
            )
            continue
        result.append((key, compiler.expression(child, BEFORE_SEVERITY)[0]))
    return tuple(result)


def _personal(node: Node | None, compiler: Compiler) -> frozenset[str]:
    names = set()
    for child in node.elements() if node is not None else []:
        name = str(child.value)
        if name in compiler.names.extracts:
            names.add(name)
        else:
            hint = nearest(name, list(compiler.names.extracts))
            compiler.report.error(child, f"`{name}` is not an extract", hint)
    return frozenset(names)


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
                when=compiler.watch.part("route", child, _when(child.get("when"), compiler, AFTER_STATUS)),
                group=compile_group(child, compiler),
            )
        )
    if node is not None and not routes and not report.problems:
        report.error(node, "a mapping has at least one route", "route: [{to: itsm}]")
    return tuple(routes)

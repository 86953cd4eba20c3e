"""Conditions: Sigma maps as closures. Keys are AND, lists are OR; `any`, `all` and `not` combine. Pure.

A key is a field and its modifiers: `.source.ip|cidr`, `rule|contains|all`, `severity|at_least`. Text is compared
without regard to case, as in Sigma; a pattern (`re`) minds it. A field that is a list holds when one element does.
"""

from __future__ import annotations

import ipaddress
import operator
import re
import socket
from collections.abc import Callable

from bridge.alert import SEVERITY_OF, Json
from bridge.mapping.evaluate import Getter, Names, Scope, compile_expression
from bridge.mapping.language import LanguageError, Name, Path, nearest, parse_expression
from bridge.mapping.lookups import Lookups
from bridge.mapping.model import Node, Report
from bridge.mapping.pattern import compile_pattern, seen_by_pattern
from bridge.mapping.values import is_nothing, number_of, text_of

Condition = Callable[[Scope], bool]
Test = Callable[[Json], bool]  # of one value of the alert, never of a list
Builder = Callable[[list[Node], Report], Test]

COMBINE = ("any", "all", "not")
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
# A key of a condition: the field, then its modifiers.
KEY = re.compile(r"""((?:"(?:[^"\\]|\\.)*"|[^"|])+)((?:\|[^|]*)*)""")


def compile_condition(node: Node, names: Names, known: frozenset[str], report: Report) -> Condition:
    """The closure of one condition. Problems go to the report; what they spoil never holds."""
    return names.watch.part("condition", node, _condition(node, names, known, report))


def _condition(node: Node, names: Names, known: frozenset[str], report: Report) -> Condition:
    if isinstance(node.value, list):
        return _any([compile_condition(child, names, known, report) for child in node.elements()])
    if not isinstance(node.value, dict) or not node.value:
        report.error(node, "a condition is a map of field: value", "{.labels.env: [dev, test]}")
        return _never
    return _all([_compile_key(key, child, names, known, report) for key, child in node.items()])


def _compile_key(key: str, node: Node, names: Names, known: frozenset[str], report: Report) -> Condition:
    return names.watch.part("key", node, _key(key, node, names, known, report))


def _key(key: str, node: Node, names: Names, known: frozenset[str], report: Report) -> Condition:
    if key in COMBINE:
        parts = [compile_condition(child, names, known, report) for child in node.elements()]
        if key == "not":
            return _not(_any(parts))
        return _any(parts) if key == "any" else _all(parts)
    try:
        return _compile_field(key, node, names, known, report)
    except LanguageError as error:
        report.error(node, error.message, error.hint, at_key=True)
        return _never


def _compile_field(key: str, node: Node, names: Names, known: frozenset[str], report: Report) -> Condition:
    match = KEY.fullmatch(key)
    if match is None:
        raise LanguageError(f"`{key}` is not a field", 'field|modifier, such as .a.b|contains or ."a.b"|exists')
    field, modifiers = parse_expression(match[1]), [word for word in match[2].split("|") if word]
    if not isinstance(field, (Path, Name)):
        raise LanguageError(f"`{match[1]}` is not a field", "a path (.a.b) or the name of an extract")
    getter = compile_expression(field, names, known)
    modifier = _modifier(modifiers)
    is_severity = isinstance(field, Name) and field.name == "severity"
    if modifier in ("at_least", "at_most"):
        if not is_severity:
            raise LanguageError(
                f"`{modifier}` compares the severity only", "severity|at_least: high; numbers: gte, lte"
            )
        return _severity_bound(modifier, node, report)
    if modifier == "exists":
        return _exists(getter, node, report)
    values = [child for child in node.elements() if is_severity is False or _is_severity_word(child, report)]
    build = _in_lookup(names.lookups) if modifier == "in_lookup" else _TESTS[modifier]
    if "all" in modifiers:
        return _all([_holds(getter, _test(build, [child], report)) for child in values])
    return _holds(getter, _test(build, values, report))


def _modifier(modifiers: list[str]) -> str:
    """The one modifier besides `all`; "" for plain equality."""
    known = [*_TESTS, "exists", "in_lookup", "at_least", "at_most", "all"]
    for word in modifiers:
        if word not in known:
            raise LanguageError(f"there is no modifier `{word}`", nearest(word, [name for name in known if name]))
    others = [word for word in modifiers if word != "all"]
    if len(others) > 1 or len(set(modifiers)) != len(modifiers):
        raise LanguageError(f"the modifiers `{'|'.join(modifiers)}` do not go together", "one of them, and `all`")
    return others[0] if others else ""


def _is_severity_word(node: Node, report: Report) -> bool:
    if isinstance(node.value, str) and node.value in SEVERITY_OF:
        return True
    report.error(node, f"`{node.value}` is not a severity", nearest(str(node.value), list(SEVERITY_OF)))
    return False


def _severity_bound(modifier: str, node: Node, report: Report) -> Condition:
    if not _is_severity_word(node, report):
        return _never
    bound = SEVERITY_OF[node.value]
    if modifier == "at_least":
        return lambda scope: scope.severity >= bound
    return lambda scope: scope.severity <= bound


def _exists(getter: Getter, node: Node, report: Report) -> Condition:
    if not isinstance(node.value, bool):
        report.error(node, "`exists` is true or false")
    if node.value is True:
        return lambda scope: not is_nothing(getter(scope))
    return lambda scope: is_nothing(getter(scope))


def _holds(getter: Getter, test: Test) -> Condition:
    def holds(scope: Scope) -> bool:
        value = getter(scope)
        if value.__class__ is list:
            return any(test(item) for item in value)
        return test(value)

    return holds


def _test(build: Builder, nodes: list[Node], report: Report) -> Test:
    for node in nodes:
        if isinstance(node.value, (dict, list)):
            report.error(node, "a plain value or a list of them is expected here")
            return _never
    return build(nodes, report)


def _wanted(nodes: list[Node]) -> list[str]:
    return [text_of(node.value).lower() for node in nodes if node.value is not None]


def _equals(nodes: list[Node], _: Report) -> Test:
    wanted = frozenset(_wanted(nodes))
    null = any(node.value is None for node in nodes)

    def test(value: Json) -> bool:
        if value.__class__ is str:
            return value.lower() in wanted
        return null if value is None else text_of(value).lower() in wanted

    return test


def _contains(nodes: list[Node], report: Report) -> Test:
    wanted = _not_empty(nodes, report)

    def test(value: Json) -> bool:
        text = text_of(value).lower()
        for part in wanted:  # noqa: SIM110 (as in `_all`)
            if part in text:
                return True
        return False

    return test


def _startswith(nodes: list[Node], report: Report) -> Test:
    wanted = tuple(_not_empty(nodes, report))
    return lambda value: text_of(value).lower().startswith(wanted)


def _endswith(nodes: list[Node], report: Report) -> Test:
    wanted = tuple(_not_empty(nodes, report))
    return lambda value: text_of(value).lower().endswith(wanted)


def _not_empty(nodes: list[Node], report: Report) -> list[str]:
    for node in nodes:
        if node.value in (None, ""):
            report.error(node, "an empty text is part of every text", "name what is looked for, or use exists")
    return [text for text in _wanted(nodes) if text]


def _re(nodes: list[Node], report: Report) -> Test:
    patterns = []
    for node in nodes:
        try:
            patterns.append(compile_pattern(report.text(node)))
        except LanguageError as error:
            report.error(node, error.message, error.hint)

    def test(value: Json) -> bool:
        text = seen_by_pattern(text_of(value))
        return any(pattern.search(text) is not None for pattern in patterns)

    return lambda value: value is not None and test(value)


def _cidr(nodes: list[Node], report: Report) -> Test:
    networks: list[tuple[int, int, int]] = []  # (bytes of an address, address, mask)
    for node in nodes:
        try:
            network = ipaddress.ip_network(str(node.value))
        except ValueError as error:
            report.error(node, f"`{node.value}` is not a network: {error}", "10.99.0.0/16 or 2001:db8::/32")
            continue
        networks.append((network.max_prefixlen // 8, int(network.network_address), int(network.netmask)))

    def test(value: Json) -> bool:
        packed = _packed(value)
        address = int.from_bytes(packed)
        for size, base, mask in networks:  # noqa: SIM110 (as in `_all`)
            if len(packed) == size and address & mask == base:
                return True
        return False

    return test


def _packed(value: Json) -> bytes:
    """An IP address as its bytes; none for what is no address. Several times quicker than `ipaddress`."""
    if value.__class__ is not str:
        return b""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value.strip())
    except (OSError, ValueError):
        return b""


def _in_lookup(lookups: Lookups) -> Builder:
    """`table.column`: the value is among the cells of that column."""

    def build(nodes: list[Node], report: Report) -> Test:
        cells: frozenset[str] = frozenset()
        for node in nodes:
            table, _, column = report.text(node).partition(".")
            try:
                if not column:
                    raise LanguageError(f"`{table}` names no column", "table.column, such as accepted_risks.arn")
                cells |= lookups.column(table, column)
            except LanguageError as error:
                report.error(node, error.message, error.hint)
        return lambda value: text_of(value).lower() in cells  # never the empty text

    return build


def _compared(modifier: str) -> Builder:
    compare = _COMPARE[modifier]

    def build(nodes: list[Node], report: Report) -> Test:
        bounds = []
        for node in nodes:
            if (bound := number_of(node.value)) is not None:  # of a text, too: `7.50` is one to YAML's reader
                bounds.append(bound)
            else:
                report.error(node, f"`{modifier}` compares with a number, not `{node.value}`")

        def test(value: Json) -> bool:
            number = number_of(value)
            return number is not None and any(compare(number, bound) for bound in bounds)

        return test

    return build


_TESTS: dict[str, Builder] = {
    "": _equals,
    "contains": _contains,
    "startswith": _startswith,
    "endswith": _endswith,
    "re": _re,
    "cidr": _cidr,
    **{modifier: _compared(modifier) for modifier in _COMPARE},
}


def _never(_: object) -> bool:
    return False


def _all(parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]

    def every(scope: Scope) -> bool:
        for part in parts:  # noqa: SIM110 (a generator costs a third of a microsecond per alert)
            if not part(scope):
                return False
        return True

    return every


def _any(parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]

    def some(scope: Scope) -> bool:
        for part in parts:  # noqa: SIM110 (as above)
            if part(scope):
                return True
        return False

    return some


def _not(part: Condition) -> Condition:
    return lambda scope: not part(scope)

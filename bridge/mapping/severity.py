"""The `severity:` section: the source's words, or ranges of its numbers, as one of our five. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bridge.alert import SEVERITY_OF, Json, Severity
from bridge.mapping.compiler import Compiler
from bridge.mapping.conditions import Condition, compile_condition
from bridge.mapping.evaluate import BEFORE_SEVERITY, Scope
from bridge.mapping.language import nearest
from bridge.mapping.model import SEVERITY_RANGES_MAX, Node, Report
from bridge.mapping.values import number_of, text_of

Find = Callable[[Json, Scope], Severity]


def compile_severity(node: Node | None, compiler: Compiler) -> Callable[[Scope], Severity]:
    """`from` through `table`, then `ranges`, then `default`; then `raise_to` and `lower_to`."""
    report = compiler.report
    if node is None or not report.keys(node, "severity"):
        return lambda _: Severity.MEDIUM
    source, default, ranges = node.get("from"), node.get("default"), node.get("ranges")
    getter = compiler.expression(source, BEFORE_SEVERITY)[0] if source is not None else None
    table = compiler.watch.table(node.get("table"), _table(node.get("table"), report))
    otherwise = _word(default, report) if default is not None else Severity.MEDIUM
    in_range = _in_range(_ranges(ranges, compiler), otherwise) if ranges is not None else None
    raises = _bounds(node.get("raise_to"), compiler)
    lowers = _bounds(node.get("lower_to"), compiler)

    def severity(scope: Scope) -> Severity:
        result = otherwise
        if getter is not None:
            value = getter(scope)
            found = table.get((value if value.__class__ is str else text_of(value)).lower())
            if found is not None:
                result = found
            elif in_range is not None:
                result = in_range(value, scope)
        for word, when in raises:
            if result < word and when(scope):
                result = word
        for word, when in lowers:
            if result > word and when(scope):
                result = word
        return result

    return compiler.watch.part("severity", node, severity)


def _table(node: Node | None, report: Report) -> dict[str, Severity]:
    """Values of the source, in lower case, and our word. Without a table the source's words are ours."""
    if node is None:
        return dict(SEVERITY_OF)
    if not isinstance(node.value, dict):
        hint = "numbers stand in ranges: [{gte: 9, to: critical}]" if isinstance(node.value, list) else ""
        report.error(node, "a map of value: severity is expected here", hint or "{CRITICAL: critical, HIGH: high}")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The numbers above and below two bounds. A bound that belongs to the range is told by `…_included`."""

    low: float = -math.inf
    low_included: bool = False
    high: float = math.inf
    high_included: bool = False
    to: Severity

    def holds(self, number: float) -> bool:
        above = number > self.low or (self.low_included and number == self.low)
        return above and (number < self.high or (self.high_included and number == self.high))

    def covers(self, other: Range) -> bool:
        """Whether every number of the other is in this one."""
        low = self.low < other.low or (self.low == other.low and (self.low_included or not other.low_included))
        high = self.high > other.high or (self.high == other.high and (self.high_included or not other.high_included))
        return low and high

    @property
    def is_empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and not (self.low_included and self.high_included))


_BOUNDS = {"gt": ("low", False), "gte": ("low", True), "lt": ("high", False), "lte": ("high", True)}
_SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


Rows = tuple[tuple[Range, Condition | None], ...]  # each with the alerts that it is for


def _ranges(node: Node, compiler: Compiler) -> Rows:
    """`[{gte: 9, to: critical}, {gte: 7, to: high}]`, the words of conditions; the first that holds wins."""
    children, report = node.elements(), compiler.report
    if len(children) > SEVERITY_RANGES_MAX:
        report.error(node, f"has {len(children)} ranges; at most {SEVERITY_RANGES_MAX} are taken")
    result: list[tuple[Range, Condition | None]] = []
    earlier: list[tuple[Range, Json]] = []
    for child in children:
        found = _range(child, report)
        if found is None:
            continue
        asked = child.get("when")
        written = asked.value if asked is not None else None
        if any(other.covers(found) for other, when in earlier if when is None or when == written):
            report.error(child, "is never reached: a range before it takes all its numbers", "the narrower range first")
        earlier.append((found, written))
        when = compile_condition(asked, compiler.names, BEFORE_SEVERITY, report) if asked is not None else None
        result.append((compiler.watch.row(child, found), when))
    return tuple(result)


def _range(node: Node, report: Report) -> Range | None:
    if isinstance(node.value, dict) and (sign := next((key for key in node.value if key in _SIGNS), None)):
        report.error(node, f"`{sign}` is written {_SIGNS[sign]}", f"{{{_SIGNS[sign]}: 7, to: high}}")
        return None
    if not report.keys(node, "range", ("to",)) or (to := node.get("to")) is None:
        return None
    bounds: dict[str, float | bool] = {}
    for key, child in node.items():
        if key not in _BOUNDS:
            continue
        side, included = _BOUNDS[key]
        if (bound := number_of(child.value)) is None:
            report.error(child, f"`{key}` compares with a number, not `{child.value}`")
            return None
        if side in bounds:
            report.error(child, f"the range has two bounds {'below' if side == 'low' else 'above'}", at_key=True)
        bounds |= {side: bound, f"{side}_included": included}
    found = Range(**bounds, to=_word(to, report))  # type: ignore[arg-type]
    if not bounds or found.is_empty:
        hint = "{gte: 7, lt: 9, to: high}; what is left over is the default's"
        report.error(node, "no number is in this range" if bounds else "a range has a bound", hint)
        return None
    return found


def _in_range(ranges: Rows, otherwise: Severity) -> Find:
    def find(value: Json, scope: Scope) -> Severity:
        number = number_of(value)
        if number is not None:
            for one, when in ranges:
                if (when is None or when(scope)) and one.holds(number):
                    return one.to
        return otherwise

    return find


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

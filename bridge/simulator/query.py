"""Encoded queries: parsed once, then asked of each row. Pure.

Operators and their spelling are [OFFICIAL r_OpAvailableFiltersQueries.md]. Text is compared without case: documented as
case-sensitive, in practice the database's collation decides [UNVERIFIED]. Negations match an empty value too
[UNVERIFIED].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Lookup = Callable[[str], str]  # a field, dot-walked or not, of the row that is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    groups: tuple[tuple[tuple[Condition, ...], ...], ...]  # ^NQ of ^ of ^OR
    order: tuple[tuple[str, bool], ...]  # (field, descending)
    problems: tuple[str, ...]  # parts that mean nothing

    def matches(self, lookup: Lookup) -> bool:
        return any(all(any(holds(c, lookup) for c in either) for either in group) for group in self.groups)


# Longer spellings first: `NOT LIKE` before `LIKE`, `<=` before `<`.
OPERATORS = (
    *("NOT LIKE", "NOT IN", "STARTSWITH", "ENDSWITH", "ISNOTEMPTY", "ISEMPTY", "EMPTYSTRING", "ANYTHING"),
    *("LIKE", "IN", "!=", "!*", "<=", ">=", "=", "<", ">", "*", "%"),
)
WITHOUT_VALUE = {"ISNOTEMPTY", "ISEMPTY", "EMPTYSTRING", "ANYTHING"}
SAME_AS = {"!*": "NOT LIKE", "*": "LIKE", "%": "ENDSWITH", "EMPTYSTRING": "ISEMPTY"}
FIELD = re.compile(r"[a-z][a-z0-9_.]*")


def parse_query(text: str, known: Callable[[str], bool]) -> Query:
    """Parse `text`; a malformed part, or one with a field not `known`, becomes a problem and filters nothing."""
    groups: list[list[list[Condition]]] = [[]]
    order: list[tuple[str, bool]] = []
    problems: list[str] = []
    for part in text.split("^"):
        if part in ("", "EQ"):
            continue
        if (by := _order(part)) is not None:
            if known(by[0]):
                order.append(by)
            else:
                problems.append(part)
            continue
        is_or = part.startswith("OR")
        if part.startswith("NQ"):
            groups.append([])
        condition = _condition(part[2:] if part.startswith(("OR", "NQ")) else part)
        if condition is None or not known(condition.field):
            problems.append(part)
        elif is_or and groups[-1]:
            groups[-1][-1].append(condition)  # ^OR binds to the condition before it
        else:
            groups[-1].append([condition])
    frozen = tuple(tuple(tuple(either) for either in group) for group in groups)
    return Query(groups=frozen, order=tuple(order), problems=tuple(problems))


def _order(part: str) -> tuple[str, bool] | None:
    for word, descending in (("ORDERBYDESC", True), ("ORDERBY", False)):
        if part.startswith(word):
            return part.removeprefix(word), descending
    return None


def _condition(part: str) -> Condition | None:
    field = FIELD.match(part)
    if field is None:
        return None
    rest = part[field.end() :]
    for operator in OPERATORS:
        if rest.startswith(operator):
            value = rest.removeprefix(operator)
            if (operator in WITHOUT_VALUE and value) or value.startswith("javascript:"):
                return None
            if operator in ("LIKE", "NOT LIKE", "IN", "NOT IN", "STARTSWITH", "ENDSWITH"):
                value = value.strip()
            return Condition(field=field[0], operator=SAME_AS.get(operator, operator), value=value.casefold())
    return None


def holds(condition: Condition, lookup: Lookup) -> bool:
    return HOLDS[condition.operator](lookup(condition.field).casefold(), condition.value)


def compare(left: str, right: str) -> int:
    """-1, 0 or 1; whole numbers as numbers, all else as text (times are written so that text order is time order)."""
    if _is_number(left) and _is_number(right):
        return (int(left) > int(right)) - (int(left) < int(right))
    return (left > right) - (left < right)


def _is_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


def _listed(have: str, values: str) -> bool:
    return have in values.split(",")


HOLDS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda have, value: have == value,
    "!=": lambda have, value: have != value,
    "<": lambda have, value: have != "" and compare(have, value) < 0,
    ">": lambda have, value: have != "" and compare(have, value) > 0,
    "<=": lambda have, value: have != "" and compare(have, value) <= 0,
    ">=": lambda have, value: have != "" and compare(have, value) >= 0,
    "LIKE": lambda have, value: value in have,
    "NOT LIKE": lambda have, value: value not in have,
    "STARTSWITH": str.startswith,
    "ENDSWITH": str.endswith,
    "IN": _listed,
    "NOT IN": lambda have, value: not _listed(have, value),
    "ISEMPTY": lambda have, _: have == "",
    "ISNOTEMPTY": lambda have, _: have != "",
    "ANYTHING": lambda _have, _value: True,
}

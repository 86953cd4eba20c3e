"""Which alerts get to a route, as far as conditions tell: what each asks for, what those before it take. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.alert import SEVERITY_OF, Json, Severity
from bridge.mapping.conditions import COMBINE
from bridge.mapping.lint.uses import scalar, split_key
from bridge.mapping.model import Node

ALL = frozenset(Severity)

Demand = tuple[str, frozenset[str]]  # (what is asked, the values of which one must be)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The severities that a condition takes, and what else it asks for; all of it must hold."""

    severities: frozenset[Severity] = ALL
    demands: frozenset[Demand] = frozenset()

    def takes(self, other: Reach) -> bool:
        """Whether it holds for every alert of `other`, whatever the severity."""
        return all(any(_implies(theirs, mine) for theirs in other.demands) for mine in self.demands)


def reach_of(route: Node) -> Reach:
    when = route.get("when")
    severities, demands = ALL, set()
    for key, child in _conjuncts(when) if when is not None else ():
        taken = _severities(key, child)
        if taken is not None:
            severities &= taken
        else:
            demands.add(_demand(key, child))
    return Reach(severities=severities, demands=frozenset(demands))


def left_for(reach: Reach, before: list[Reach]) -> frozenset[Severity]:
    """The severities of the alerts that still get there; none: no alert does."""
    left = reach.severities
    for earlier in before:
        if earlier.takes(reach):
            left -= earlier.severities
    return left


def possible(severity: Node | None) -> frozenset[Severity]:
    """The severities that a mapping can tell. Without a table the source's own words count: any of them."""
    if severity is None:
        return frozenset({Severity.MEDIUM})
    default, table = severity.get("default"), severity.get("table")
    found = {default.value if default is not None else Severity.MEDIUM.word}
    if severity.get("from") is not None:
        if table is None:
            return ALL
        ranges = severity.get("ranges")
        found |= {row.value for _, row in table.items()}
        found |= {to.value for row in (ranges.elements() if ranges is not None else []) if (to := row.get("to"))}
    for bound in ("raise_to", "lower_to"):
        node = severity.get(bound)
        found |= {word for word, _ in node.items()} if node is not None else set()
    return frozenset(SEVERITY_OF[word] for word in found if word in SEVERITY_OF)


def _conjuncts(node: Node) -> Iterator[tuple[str, Node]]:
    """The keys that must all hold; `all:` taken apart."""
    if not isinstance(node.value, dict):
        yield "any", node
        return
    for key, child in node.items():
        if key == "all":
            for part in child.elements():
                yield from _conjuncts(part)
        else:
            yield key, child


def _severities(key: str, node: Node) -> frozenset[Severity] | None:
    """What a key that compares the severity takes; None for any other key."""
    field, modifiers = split_key(key)
    if field.strip() != "severity":
        return None
    words = [SEVERITY_OF[one.value] for one in node.elements() if one.value in SEVERITY_OF]
    if modifiers == ():
        return frozenset(words)
    if modifiers == ("at_least",) and words:
        return frozenset(severity for severity in Severity if severity >= words[0])
    if modifiers == ("at_most",) and words:
        return frozenset(severity for severity in Severity if severity <= words[0])
    return None


def _demand(key: str, node: Node) -> Demand:
    """Sameness as conditions have it: text without regard to case, but patterns as they are written."""
    if key in COMBINE or "all" in split_key(key)[1]:
        return (f"{key}: {_canonical(node.value)}", frozenset({""}))
    values = frozenset(_word(key, one.value) for one in node.elements())
    return (key, values)


def _word(key: str, value: Json) -> str:
    text = scalar(value)
    if text is None:
        return _canonical(value)
    return text if "re" in split_key(key)[1] else text.lower()


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _implies(theirs: Demand, mine: Demand) -> bool:
    return theirs[0] == mine[0] and theirs[1] <= mine[1]

"""Lints of `route:`: what is never reached, falls through, is decided by what changes, or is never tried. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.mapping.language import Name
from bridge.mapping.lint.reach import Reach, left_for, possible, reach_of
from bridge.mapping.lint.subject import Finding, Subject
from bridge.mapping.lint.uses import conditions, groups, leaves
from bridge.mapping.model import Node


def never_reached(subject: Subject) -> Iterator[Finding]:
    told = possible(subject.root.get("severity"))
    before: list[tuple[Node, Reach]] = []
    for route in subject.routes:
        reach = reach_of(route)
        if not reach.severities:
            hint = "at_least is the lower bound, at_most the upper"
            yield Finding(route, "no alert gets to this route: its bounds of the severity exclude one another", hint)
        elif takers := _takers(reach, before):
            yield _taken_before(route, takers)
        elif route.file is subject.mapping.yaml and not reach.severities & told:
            words = ", ".join(severity.word for severity in sorted(told))
            hint = f"the severities that it can tell: {words}"
            yield Finding(route, "no alert gets to this route: `severity` tells none that it takes", hint)
        before.append((route, reach))


def _takers(reach: Reach, before: list[tuple[Node, Reach]]) -> list[Node]:
    """The routes that take all of a route's alerts before it; none, when some get there."""
    left, takers = reach.severities, []
    for node, one in before:
        if one.takes(reach) and one.severities & left:
            left -= one.severities
            takers.append(node)
    return [] if left else takers


def _taken_before(route: Node, takers: list[Node]) -> Finding:
    """Told at the route itself, unless that is shared and the mapping's own routes hide it."""
    own = [node for node in takers if node.file is not route.file]
    if own:
        message = f"this takes what {_place(route)} would: that route is never reached"
        return Finding(own[-1], message, "include no routes, or narrow this one with `when`")
    hint = "the first match wins: put the narrower route first, or delete this one"
    return Finding(route, f"no alert gets to this route: {_places(takers)} all that it would", hint)


def no_catch_all(subject: Subject) -> Iterator[Finding]:
    if subject.routes and left_for(Reach(), [reach_of(route) for route in subject.routes]):
        hint = "end with a route without `when`; `- {to: drop}` says that it is meant"
        yield Finding(subject.routes[-1], "an alert that no route takes is dropped", hint)


def depends_on_severity(subject: Subject) -> Iterator[Finding]:
    """Only where the severity decides between two places: what is dropped has no incident that would stay behind."""
    for index, route in enumerate(subject.routes):
        if not _names_severity(route) or _is_drop(route):
            continue
        others = [other for other in subject.routes[index + 1 :] if not _is_drop(other)]
        elsewhere = next((other for other in others if _leads_to(other) != _leads_to(route)), None)
        if elsewhere is not None or _group_names_severity(route):
            message = "this route depends on the severity, and is asked once per episode"
            hint = "when the severity rises, an open incident stays where it is and is told the rise"
            yield Finding(route, message, hint)


def without_test(subject: Subject) -> Iterator[Finding]:
    """One that is never reached is told as that."""
    taken = {mapped.route for _, mapped in subject.mapped}
    before: list[Reach] = []
    for node, route in zip(subject.routes, subject.mapping.routes, strict=True):
        reach = reach_of(node)
        if route.place not in taken and left_for(reach, before):
            message = f"no test of `{subject.mapping.name}` has an alert that takes this route"
            yield Finding(node, message, "add one to `tests`, with `expect: {route: …}`")
        before.append(reach)


def _names_severity(route: Node) -> bool:
    used = conditions(route.get("when"), "route")
    return any(use.tree == Name("severity") for use in used) or _group_names_severity(route)


def _group_names_severity(route: Node) -> bool:
    return any(leaf == Name("severity") for use in groups(route) for leaf in leaves(use.tree, {}))


def _is_drop(route: Node) -> bool:
    to = route.get("to")
    return to is not None and to.value == "drop"


def _leads_to(route: Node) -> tuple[object, ...]:
    return tuple(node.value if (node := route.get(key)) is not None else None for key in ("to", "assignment_group"))


def _places(takers: list[Node]) -> str:
    places = [_place(node) for node in takers]
    return f"{places[0]} takes" if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]} take"


def _place(node: Node) -> str:
    problem = node.file.problem(node.path, "")
    return f"{problem.file}:{problem.line}"


def returns_only_reopen(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        to = route.get("to")
        if to is not None and to.value in subject.against.one_record:
            message = (
                "there each return is the same record to ServiceNow: it is reopened, whatever `reopen` says, and "
                "after a person's end a person is asked"
            )
            yield Finding(to, message, "give the target a `key_field`, or know that")

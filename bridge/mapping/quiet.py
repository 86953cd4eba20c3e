"""The rules that keep alerts quiet, as the correlation log names them and tells of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.alert import Json
from bridge.mapping.compile import NO_ROUTE, Route
from bridge.mapping.suppression import Suppression


def rule_of(suppression: str) -> str:
    """A suppression as the log names it; a route has its place."""
    return f"suppress:{suppression}"


def told_of(suppressions: Sequence[Suppression], routes: Sequence[Route], owner: str) -> dict[str, dict[str, Json]]:
    """Of each rule: why, for how long, by whose ticket, and who answers for it: the owner of the mapping."""
    told: dict[str, dict[str, Json]] = {}
    for one in suppressions:
        end = one.ends_at.strftime("%Y-%m-%dT%H:%M:%SZ") if one.ends_at is not None else "permanent"
        rule = {"reason": one.reason, "ticket": one.ticket, "until": end, "owner": owner}
        told[rule_of(one.name)] = {word: text for word, text in rule.items() if text}
    drops = [route.place for route in routes if route.target is None]
    return told | {place: {"to": "drop", "owner": owner} for place in (*drops, NO_ROUTE)}

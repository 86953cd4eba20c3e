"""The Aggregate API: counts, sums, averages and extremes of a query's rows [OFFICIAL]."""

from __future__ import annotations

from datetime import datetime

from bridge.alert import Json
from bridge.simulator import answers
from bridge.simulator.access import User
from bridge.simulator.acl import may_read
from bridge.simulator.answers import Answer
from bridge.simulator.listing import rows_asked_for
from bridge.simulator.request import ApiRequest
from bridge.simulator.shape import displayed, knows
from bridge.simulator.state import Simulator

Row = dict[str, str]

PARAMETERS = frozenset(
    f"sysparm_{name}"
    for name in ("count", "query", "group_by", "avg_fields", "min_fields", "max_fields", "sum_fields", "display_value")
)


def answer_stats_call(simulator: Simulator, request: ApiRequest, user: User, _now: datetime) -> Answer:
    """Ungrouped: one object [UNVERIFIED exact shape]; grouped: a list of them with their `groupby_fields`."""
    table = simulator.table(request.table)
    if request.method != "GET":
        raise answers.method_not_allowed(request.method)
    if not may_read(simulator.needs, user, table.name):
        raise answers.unreadable_table(table.name)
    rows = rows_asked_for(simulator, request, table, PARAMETERS)
    by = [name for name in _listed(request, "sysparm_group_by") if knows(table, name) and "." not in name]
    if not by:
        return Answer(status=200, body={"result": {"stats": _stats(request, rows)}})
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    show_names = request.parameters.get("sysparm_display_value") == "true"
    result: list[Json] = []
    for members in groups.values():
        named: list[Json] = [
            {
                "field": name,
                "value": displayed(simulator.rows, table, members[0], name) if show_names else members[0][name],
            }
            for name in by
        ]
        result.append({"stats": _stats(request, members), "groupby_fields": named})
    return Answer(status=200, body={"result": result})


def _stats(request: ApiRequest, rows: list[Row]) -> dict[str, Json]:
    stats: dict[str, Json] = {}
    if request.parameters.get("sysparm_count") == "true":
        stats["count"] = str(len(rows))
    for word in ("avg", "min", "max", "sum"):
        if fields := _listed(request, f"sysparm_{word}_fields"):
            stats[word] = {name: _figure(word, [row.get(name, "") for row in rows]) for name in fields}
    return stats


def _figure(word: str, values: list[str]) -> str:
    """A number as text; an average with four digits [OFFICIAL sample]. Without numbers: ""."""
    numbers = [int(value) for value in values if value.isascii() and value.removeprefix("-").isdigit()]
    if not numbers:
        return ""
    if word == "avg":
        return f"{sum(numbers) / len(numbers):.4f}"
    return str(min(numbers) if word == "min" else max(numbers) if word == "max" else sum(numbers))


def _listed(request: ApiRequest, name: str) -> list[str]:
    return [part.strip() for part in request.parameters.get(name, "").split(",") if part.strip()]

"""GET of a table: filter, order, page, and the headers that say how much there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import cmp_to_key, partial
from urllib.parse import urlencode

from bridge.simulator import answers
from bridge.simulator.answers import Answer
from bridge.simulator.query import Condition, Query, compare, parse_query
from bridge.simulator.records import Records
from bridge.simulator.request import ApiRequest, shape_of
from bridge.simulator.shape import knows, raw, shaped
from bridge.simulator.state import Simulator
from bridge.simulator.switches import UnknownField
from bridge.simulator.table import Table

Row = dict[str, str]

LIMIT_DEFAULT = 10_000  # [OFFICIAL]
LIST_PARAMETERS = {
    "sysparm_query",
    "sysparm_fields",
    "sysparm_limit",
    "sysparm_offset",
    "sysparm_display_value",
    "sysparm_exclude_reference_link",
    "sysparm_suppress_pagination_header",
    "sysparm_no_count",
}


def list_rows(simulator: Simulator, request: ApiRequest, table: Table, *, readable: bool = True) -> Answer:
    """`readable`: whether the user may see the table's rows. The limit is applied before that is asked [OFFICIAL]."""
    if not readable and table.name == "sys_journal_field":
        raise answers.insufficient_rights()
    if not readable and "sysparm_query" in request.parameters:
        raise answers.unreadable_field()
    found = rows_asked_for(simulator, request, table, LIST_PARAMETERS)
    limit = _whole(simulator, request, "sysparm_limit", LIMIT_DEFAULT)
    offset = _whole(simulator, request, "sysparm_offset", 0)
    page = found[offset : offset + limit]
    if not page and request.version == "v1" and request.place.api == "table":
        raise answers.no_record()  # v1 of the Table API only [OFFICIAL]
    shape = shape_of(request)
    body = {"result": [shaped(simulator.rows, table, row, shape) for row in page if readable]}
    return Answer(status=200, body=body, headers=_headers(request, total=len(found), limit=limit, offset=offset))


def rows_asked_for(simulator: Simulator, request: ApiRequest, table: Table, parameters: Set[str]) -> list[Row]:
    """The rows that the query picks, in its order; another parameter than `parameters` is noted."""
    query = _query(simulator, request, table, parameters)
    if query.problems and simulator.switches.unknown_query_field is UnknownField.FORBIDDEN:
        raise answers.unreadable_field()
    none = bool(query.problems) and simulator.switches.unknown_query_field is UnknownField.NO_ROWS
    return [] if none else _matching(simulator, table, query)


def _query(simulator: Simulator, request: ApiRequest, table: Table, parameters: Set[str]) -> Query:
    """sysparm_query, or else name=value pairs: the two exclude one another [OFFICIAL]."""
    pairs = {name: value for name, value in request.parameters.items() if not name.startswith("sysparm_")}
    for name in request.parameters.keys() - pairs.keys() - parameters:
        simulator.note_violation("unsupported_parameter", request.method, request.path, name)
    encoded = request.parameters.get("sysparm_query")
    if encoded is None:
        encoded = "^".join(f"{name}={value}" for name, value in pairs.items())
    elif pairs:
        simulator.note_violation("query_and_pairs", request.method, request.path, ", ".join(pairs))
    query = parse_query(encoded, partial(knows, table))
    for problem in query.problems:
        simulator.note_violation("invalid_query", request.method, request.path, problem)
    return query


def _matching(simulator: Simulator, table: Table, query: Query) -> list[Row]:
    records = simulator.rows
    found = [row for row in _candidates(simulator, table, query) if query.matches(partial(raw, records, table, row))]
    for field, descending in reversed(query.order):  # stable sorts, the least important first
        found = _sorted(found, partial(_key, records, table, field), descending=descending)
    return found


def _key(records: Records, table: Table, field: str, row: Row) -> str:
    return raw(records, table, row, field).casefold()


def _sorted(rows: list[Row], value: Callable[[Row], str], *, descending: bool) -> list[Row]:
    def by_value(left: Row, right: Row) -> int:
        return compare(value(left), value(right))

    return sorted(rows, key=cmp_to_key(by_value), reverse=descending)


def _candidates(simulator: Simulator, table: Table, query: Query) -> list[Row]:
    """All rows, cut down by a plain `column=value` that every match must meet: look-ups stay quick."""
    rows = simulator.rows.rows(table.name)
    plain = _required(query, table)
    if plain is None:
        return list(rows)
    return [row for row in rows if row[plain.field].casefold() == plain.value]


def _required(query: Query, table: Table) -> Condition | None:
    if len(query.groups) != 1:
        return None
    single = (either[0] for either in query.groups[0] if len(either) == 1)
    return next((c for c in single if c.operator == "=" and c.field in table.columns), None)


def _whole(simulator: Simulator, request: ApiRequest, name: str, default: int) -> int:
    given = request.parameters.get(name)
    if given is None:
        return default
    if given.isascii() and given.isdigit():
        return int(given)
    simulator.note_violation("not_a_number", request.method, request.path, name)  # no negatives [OFFICIAL]
    return default


def _headers(request: ApiRequest, *, total: int, limit: int, offset: int) -> dict[str, str]:
    headers = {}
    if request.parameters.get("sysparm_no_count") != "true":  # then no X-Total-Count [UNVERIFIED]
        headers["X-Total-Count"] = str(total)
    if request.parameters.get("sysparm_suppress_pagination_header") != "true":
        headers["Link"] = _links(request, total=total, limit=limit, offset=offset)
    return headers


def _links(request: ApiRequest, *, total: int, limit: int, offset: int) -> str:
    """first, next, prev and last, as far as there are such pages [OFFICIAL]."""
    step = max(limit, 1)
    offsets = {"first": 0}
    if offset + limit < total:
        offsets["next"] = offset + limit
    if offset > 0:
        offsets["prev"] = max(offset - limit, 0)
    offsets["last"] = max(total - 1, 0) // step * step
    return ",".join(f'<{_page_url(request, at, limit)}>;rel="{word}"' for word, at in offsets.items())


def _page_url(request: ApiRequest, offset: int, limit: int) -> str:
    parameters: Mapping[str, str] = {**request.parameters, "sysparm_offset": str(offset), "sysparm_limit": str(limit)}
    return f"{request.url}?{urlencode(parameters)}"

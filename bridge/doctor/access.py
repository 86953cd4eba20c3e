"""Steps: whether the instance knows us, what we are there, and what we may read."""

from __future__ import annotations

from dataclasses import replace

from bridge.doctor.causes import causes_of
from bridge.doctor.finding import Cause, Finding, counted, not_tested, ok, wrong
from bridge.doctor.roles import TOO_MUCH, Need, lacking
from bridge.doctor.visit import Visit
from bridge.errors import Permanent, Transient
from bridge.servicenow.table import RECORD_FIELDS
from bridge.settings import AuthScheme

SCHEMES = {
    AuthScheme.BASIC: "Basic",
    AuthScheme.API_KEY: "API key",
    AuthScheme.OAUTH_PASSWORD: "OAuth, password grant",
    AuthScheme.OAUTH_CLIENT_CREDENTIALS: "OAuth, client credentials",
    AuthScheme.OAUTH_JWT_BEARER: "OAuth, JWT bearer",
}

# Refusals that only somebody who is known gets: the credentials are good, and another step tells the rest.
KNOWN_TO_IT = frozenset({"invalid_table", "query_rights", "acl", "record_gone"})
# Without these a record cannot be told to be ours, or to be open. The others are there on one table only.
NEEDED_FIELDS = (
    "sys_id",
    "number",
    "state",
    "correlation_id",
    "correlation_display",
    "assigned_to",
    "assignment_group",
    "short_description",
    "sys_created_on",
    "sys_updated_on",
)
NOBODYS_ID = "incident-bridge-doctor-nothing"  # a correlation ID that no record has
# table -> a column that the bridge looks rows up by
OBSERVABLE_TABLES = {"sn_ti_observable_type": "value", "sn_ti_observable": "value", "sn_ti_m2m_task_observable": "task"}


def authentication(visit: Visit, _part: str) -> Finding:
    table = visit.tables[0]
    try:
        first_rows(visit, table, ("sys_id",))
    except Permanent as error:
        if error.code not in KNOWN_TO_IT:
            return visit.failed(error, table)
    except Transient as error:
        # Under TLS 1.3 whoever asks for a certificate in vain lets the handshake pass, and cuts what follows.
        if error.code == "connection_lost" and not visit.heard and visit.instance.url.startswith("https:"):
            return wrong(error.message, *causes_of(visit.seen("cut_after_handshake")))
        raise
    visit.taken = True
    return ok(f"The instance takes these credentials ({_who(visit)}).")


def roles(visit: Visit, _part: str) -> Finding:
    """Those that the user has directly or by a group. Most users may not read them, which is as it should be."""
    name = visit.user = visit.named("username") or _asked(visit)
    if not name:
        return not_tested("Which user this is the instance does not tell; the steps below show what it may.")
    fields = ("role.name", "user.user_name")
    try:
        rows = visit.table.rows("sys_user_has_role", f"user.user_name={name}", fields, 1000, visit.deadline())
    except Permanent:
        rows = []
    found = sorted({row["role.name"] for row in rows if row.get("user.user_name") == name and row.get("role.name")})
    if not found:
        return not_tested("The user may not read its own roles, which is usual; the steps below show what it may.")
    if too_much := sorted(TOO_MUCH & set(found)):
        cause = Cause(
            what="Whoever has these credentials may change the whole instance.",
            do=f"Take {', '.join(too_much)} away: docs/servicenow-setup.md has the roles that are enough.",
        )
        return wrong(f"{name} has {', '.join(too_much)}, which the bridge never needs.", cause)
    usual = tuple(_usual(need) for need in lacking(visit.targets, found, visit.finds))
    return replace(ok(f"{name} has {', '.join(found)}."), causes=usual)


def _usual(need: Need) -> Cause:
    """Not wrong by itself: a role of the instance's own may do."""
    least, *wider = (f"`{role}`" for role in need.any_of)
    also = f"; {' or '.join(wider)} will do as well, and opens more" if wider else ""
    what = f"None of these is the usual role to {need.why}."
    return Cause(what=what, do=f"Unless the steps below show that one of them will do, give it {least}{also}.")


def read(visit: Visit, table: str) -> Finding:
    rows, total = first_rows(visit, table, RECORD_FIELDS)
    if not rows and total:
        said = f"{table} has {counted(total, 'record')}, and none is shown to the integration user."
        return wrong(said, *causes_of(visit.seen("rows_hidden", table=table)))
    lacking = [field for field in NEEDED_FIELDS if rows and field not in rows[0]]
    if lacking:
        said = f"{table} does not show {', '.join(lacking)}."
        return wrong(said, *causes_of(visit.seen("columns_hidden", table=table)))
    visit.table.find(table, NOBODYS_ID, deadline=visit.deadline())  # raises where the ID may not be queried
    seen = counted(total or len(rows), "record") if rows else "No record yet"
    return ok(f"{seen}, and the look-up by correlation_id works.")


def finds(visit: Visit) -> tuple[str, ...]:
    return visit.finds


def find(visit: Visit, table: str) -> Finding:
    """Whether what mappings look up there may be read."""
    without = f"what mappings look up in {table} is left out, or its `else` is taken"
    try:
        # A condition, for an empty answer alone does not tell an empty table from a hidden one.
        rows, total = first_rows(visit, table, ("sys_id",), query="sys_idISNOTEMPTY")
    except Permanent as error:
        if error.code == "invalid_table":
            said = f"There is no table {table} on this instance: {without}."
            return wrong(said, *causes_of(visit.seen("nothing_to_find_in", table=table)))
        found = visit.failed(error, table)
        return replace(found, said=f"{found.said.rstrip('.')}: {without}.")
    if not rows and total:
        said = f"{table} has {counted(total, 'row')}, and none is shown: {without}."
        return wrong(said, *causes_of(visit.seen("rows_hidden", table=table)))
    return ok(f"What mappings look up in {table} may be read.")


def import_set_parts(visit: Visit) -> tuple[str, ...]:
    return visit.staging_tables or ("",)


def import_set(visit: Visit, table: str) -> Finding:
    """Whether the staging table is there. What its map makes of a row, only a write can show."""
    if not table:
        return not_tested("No target writes through an import set.")
    app = next(target.staging.app for target in visit.targets if target.staging and target.staging.table == table)
    if app is not None and (refusal := _ill_health(visit, app, table)):
        return wrong(UNHEALTHY[refusal].format(app=app), *causes_of(visit.seen(refusal, table=table)))
    try:
        first_rows(visit, table, ("sys_id",))
    except Permanent as error:
        if error.code == "invalid_table":
            raise
        return not_tested(f"{table} is there and may not be read, which an import does not need.")
    return ok(f"{table} is there." if app is None else f"Elastic's app {app} answers, and {table} is there.")


UNHEALTHY = {
    "app_not_installed": "Elastic's app {app} does not answer: it is not installed.",
    "app_forbidden": "Elastic's app {app} is installed, and does not answer this user.",
}


def _ill_health(visit: Visit, app: str, table: str) -> str:
    """A code; "" when the app answers."""
    try:
        answer = visit.client.read(table, f"/api/{app}/elastic_api/health", {}, deadline=visit.deadline())
    except Permanent as error:
        if error.code == "wrong_url":
            return "app_not_installed"
        if error.code in ("forbidden", "acl", "query_rights"):
            return "app_forbidden"
        raise
    return "" if answer is not None else "app_not_installed"


def observables(visit: Visit, _part: str) -> Finding:
    if "sn_si_incident" not in visit.tables:
        return not_tested("No target of the instance takes security incidents.")
    for table, column in OBSERVABLE_TABLES.items():
        try:
            # A condition on the column, for an empty answer alone does not tell an empty table from a hidden one.
            rows, total = first_rows(visit, table, ("sys_id",), query=f"{column}ISNOTEMPTY")
        except Permanent as error:
            causes = causes_of(visit.seen(error.code, error.message, table))
            return wrong(f"Security incidents go without observables: {error.message}", *causes)
        if not rows and total:
            said = f"{table} has {counted(total, 'row')}, and none is shown: security incidents go without observables."
            return wrong(said, *causes_of(visit.seen("rows_hidden", table=table)))
    return ok(f"Threat Intelligence is installed, and {', '.join(OBSERVABLE_TABLES)} may be read.")


def first_rows(
    visit: Visit, table: str, fields: tuple[str, ...], query: str = ""
) -> tuple[list[dict[str, object]], int | None]:
    """At most one row as it came, and how many there are, those that are hidden too."""
    asked = {"sysparm_limit": "1", "sysparm_fields": ",".join(fields), "sysparm_exclude_reference_link": "true"}
    asked |= {"sysparm_query": query} if query else {}
    answer = visit.client.read(table, f"/api/now/v2/table/{table}", asked, deadline=visit.deadline())
    if answer is None:
        return [], 0
    if not isinstance(answer.result, list):
        raise Permanent("unreadable_answer", "A list was asked for and something else came back.")
    return [row for row in answer.result if isinstance(row, dict)], answer.total


def _who(visit: Visit) -> str:
    name = visit.named("username")
    return SCHEMES[visit.instance.auth.scheme] + (f", user {name}" if name else "")


def _asked(visit: Visit) -> str:
    """Whom the instance takes us for; "" when it does not say. A query may name the caller: javascript:gs.…() in it."""
    try:
        query = "user_name=javascript:gs.getUserName()"
        rows = visit.table.rows("sys_user", query, ("user_name",), 2, visit.deadline())
    except Permanent:
        return ""
    return rows[0].get("user_name", "") if len(rows) == 1 else ""  # two: the condition was not understood

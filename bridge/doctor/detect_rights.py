"""Detectors: roles, the groups that they come with, access control rules, and tables closed to web services.

`sys_user_has_role`, `sys_group_has_role`, `sys_user_grmember`, `sys_security_acl`, `sys_security_acl_role` and
`sys_db_object` (`ws_access`) are read as public code reads them; ServiceNow's documentation names the forms alone.
"""

from __future__ import annotations

from bridge.doctor import roles
from bridge.doctor.inquiry import NOT_SO, Inquiry, Verdict, listed, so
from bridge.doctor.records import Unreadable

REST_ROLE = "snc_platform_rest_api_access"
OBSERVABLES = ("sn_ti.observable.write", *roles.TABLE["sn_si_incident"].any_of)


def role(inquiry: Inquiry) -> Verdict:
    """Those that are usual for the table. Where the instance's rules ask for others, `rule` says which."""
    name = _user(inquiry)
    has = inquiry.roles_of(name)
    table = inquiry.seen.table
    asked = _asked(inquiry) or frozenset()
    usual = [tuple(one for one in any_of if one in asked) or any_of for any_of in _usual(inquiry)]
    lacking = [any_of for any_of in usual if not has.intersection(any_of)]
    if not lacking or (asked and (asked & has or not any(asked.intersection(any_of) for any_of in lacking))):
        return NOT_SO
    wanted = [any_of[0] for any_of in lacking]
    said = f"The user {name} has not the role {', nor '.join(wanted)}, which {table} takes (it has: {listed(has)})."
    return so(said, _give(inquiry, name, wanted[0]))


def rule(inquiry: Inquiry) -> Verdict:
    name, table = _user(inquiry), inquiry.seen.table
    operation, asked = _operation(inquiry), _asked(inquiry)
    has = inquiry.roles_of(name)
    if asked is None:
        return Verdict(why=f"{table} has no access control rule of its own for {operation} that asks for roles")
    usual = frozenset(one for any_of in _usual(inquiry) for one in any_of)
    if not asked & has and not asked & usual:
        return so(
            f"The access control rules of {table} for {operation} let in {listed(asked)}, and the user {name} has none "
            f"of them (it has: {listed(has)}).",
            _give(inquiry, name, min(asked)),
        )
    if not asked & has:
        return NOT_SO  # `role` says so
    return Verdict(why="conditions and scripts of access control rules, and rules of fields, are not judged here")


def _user(inquiry: Inquiry) -> str:
    if not inquiry.user:
        raise Unreadable("which user this is the instance does not tell")
    return inquiry.user


def _usual(inquiry: Inquiry) -> list[tuple[str, ...]]:
    """Of each tuple any one role is enough; the least comes first."""
    table = inquiry.seen.table
    if inquiry.seen.staging:
        return [need.any_of for need in roles.IMPORT]
    if table in roles.TABLE:
        return [roles.TABLE[table].any_of]
    if roles.is_ci(table):
        return [roles.CMDB.any_of]
    return [OBSERVABLES] if table.startswith("sn_ti_") else []


def _operation(inquiry: Inquiry) -> str:
    """As the refusal says it [OBSERVED]; what says nothing of it was a read."""
    said = inquiry.seen.message.lower()
    return "create" if "insert failed" in said else "write" if "update failed" in said else "read"


def _asked(inquiry: Inquiry) -> frozenset[str] | None:
    """The roles of which any one is enough for the table's own rules; None where none of them asks for one."""
    table, operation = inquiry.seen.table, _operation(inquiry)
    fields = "sys_security_acl.name sys_security_acl.operation sys_security_acl.active sys_user_role.name"
    try:
        rows = inquiry.records.rows("sys_security_acl_role", fields, where=("sys_security_acl.name", table))
    except Unreadable:
        return None
    asked = frozenset(
        row["sys_user_role.name"]
        for row in rows
        if row["sys_security_acl.active"] == "true" and row["sys_security_acl.operation"] == operation
    )
    return asked or None


def _give(inquiry: Inquiry, name: str, wanted: str) -> str:
    """How to give it: by a group, where one has it and the user is not in it."""
    try:
        groups = {
            row["group.name"]
            for row in inquiry.records.rows("sys_group_has_role", "group.name role.name", where=("role.name", wanted))
        }
        mine = inquiry.records.rows("sys_user_grmember", "user.user_name group.name", where=("user.user_name", name))
        groups -= {row["group.name"] for row in mine}
    except Unreadable:
        groups = set()
    if groups:
        return (
            f"Put it into the group {listed(groups)}, which has `{wanted}` and does not have it, or give it `{wanted}`."
        )
    return f"Give it `{wanted}`."


def app_role(inquiry: Inquiry) -> Verdict:
    name, wanted = _user(inquiry), f"{inquiry.seen.app}.integration_user"
    has = inquiry.roles_of(name)
    if wanted in has:
        return Verdict(why=f"{name} has `{wanted}`")
    said = f"The user {name} has not the role {wanted}, which Elastic's app takes (it has: {listed(has)})."
    return so(said, _give(inquiry, name, wanted))


def rest_role(inquiry: Inquiry) -> Verdict:
    if REST_ROLE in inquiry.roles_of(_user(inquiry)):
        return NOT_SO
    unknown = f"no record that is known tells whether the access control of {inquiry.seen.api} is active"
    return Verdict(why=f"{inquiry.user} has it not; {unknown}")


def web_services(inquiry: Inquiry) -> Verdict:
    table = inquiry.seen.table
    rows = inquiry.records.rows("sys_db_object", "name ws_access", where=("name", table))
    if not rows or rows[0]["ws_access"] != "false":
        return NOT_SO
    return so(
        f"The table {table} is closed to web services: its ws_access is false.",
        f"Tick Allow access to this table via web services: System Definition > Tables, {table}, Application Access.",
    )

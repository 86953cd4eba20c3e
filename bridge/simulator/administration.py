"""What an administrator reads of who may come in, and do what: rows made of the state that decides it, when asked.

Read only: what a person changes there is changed by a scenario.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5

from bridge.simulator.access import JWT, PATHS, PROOFS, Access
from bridge.simulator.acl import ADMIN
from bridge.simulator.administration_tables import ADMINISTRATION_TABLES
from bridge.simulator.state import Simulator
from bridge.simulator.tables import TABLES

Row = dict[str, str]

AT = "2020-01-01 00:00:00"
PLUGIN = "com.glide.tokenbased_auth"
PROFILE = {
    "basic": ("std_http_auth", "Basic"),
    "oauth": ("std_http_auth", "OAuth"),
    "api_key": ("http_key_auth", "API key"),
}
OPERATIONS = ("create", "read", "write", "delete")


def show_administration(simulator: Simulator) -> None:
    """Bring the tables up to date. The caller holds the lock."""
    rows = simulator.rows
    for name, user in simulator.access.users.items():
        if (row := rows.get("sys_user", rows.user_id(name))) is not None:
            row |= {
                "active": _flag(user.active),
                "locked_out": _flag(user.locked_out),
                "password_needs_reset": _flag(user.password_needs_reset),
                "web_service_access_only": _flag(user.web_service_only),
            }
        if user.roles is not None:
            inherited = (group.roles for group in simulator.access.groups.values() if name in group.members)
            rows.replace_roles(name, user.roles.union(*inherited), now=simulator.clock())
    found = list(_rows(simulator))
    for table in ADMINISTRATION_TABLES:
        if table.parent is None:
            rows.clear(table.name)
    for row in found:
        rows.load(row["sys_class_name"], [row])


def _rows(simulator: Simulator) -> Iterator[Row]:
    access = simulator.access
    yield from _platform(access)
    yield from _keys(simulator)
    yield from _clients(simulator)
    yield from _groups(simulator)
    yield from _rules(simulator)


def _platform(access: Access) -> Iterator[Row]:
    if access.has_keys:
        active = "active" if access.key_plugin else "inactive"
        for table in ("sys_plugins", "v_plugin"):
            yield _row(table, PLUGIN, id=PLUGIN, name="API Key and HMAC Authentication", active=active)
    properties = {
        "glide.war": f"glide-{access.release}-07-02-2025__patch1-07-24-2025.war",
        "glide.oauth.inbound.client.credential.grant_type.enabled": _flag(access.client_credentials),
        "glide.authenticate.basic_auth.restriction.enforce": _flag(access.basic_restricted),
    }
    for name, value in properties.items():
        yield _row("sys_properties", name, name=name, value=value)


def _keys(simulator: Simulator) -> Iterator[Row]:
    access = simulator.access
    if access.has_keys:
        parameter = _row("sys_token_auth_parameter", "x-sn-apikey", parameter_name="x-sn-apikey", type="auth_header")
        yield parameter
        for secret, key in access.api_keys.items():
            user = simulator.rows.user_id(key.user)
            told = {"name": key.name, "active": _flag(key.active), "expires": key.expires, "token": "encrypted"}
            yield _row("api_key", secret, user=user, **told)
    profiles = {}
    for proof in PROOFS:
        table, name = PROFILE[proof]
        own = {"auth_parameter": parameter["sys_id"]} if table == "http_key_auth" and access.has_keys else {}
        if table != "http_key_auth" or access.has_keys:
            profiles[proof] = _row(table, name, name=name, active="true", **own)
    yield from profiles.values()
    for name, policy in access.policies.items():
        row = _row("sys_api_access_policy", name, name=name, active=_flag(policy.active), api_path=PATHS[policy.api])
        yield row | dict.fromkeys(("apply_all_tables", "apply_all_methods", "apply_all_versions"), "true")
        for proof in sorted(policy.profiles & profiles.keys()):
            mapped = {"api_access_policy": row["sys_id"], "inbound_auth_profile": profiles[proof]["sys_id"]}
            yield _row("sys_auth_profile_mapping", f"{name}/{proof}", **mapped)


def _clients(simulator: Simulator) -> Iterator[Row]:
    for ident, client in simulator.access.clients.items():
        told = {"name": ident, "client_id": ident, "active": _flag(client.active)}
        user = simulator.rows.user_id(client.user) if client.user else ""
        if JWT not in client.grants or not client.keys:
            yield _row("oauth_entity", ident, user=user, **told)
            continue
        row = _row("oauth_jwt", ident, user=user, user_field=client.subject, clock_skew="300", **told)
        yield row
        for kid, pem in client.keys.items():
            certificate = _row("sys_certificate", f"{ident}/{kid}", name=kid, pem_certificate=pem)
            yield certificate
            told = {"name": kid, "kid": kid, "sys_certificate": certificate["sys_id"]}
            yield _row("jwt_verifier_map", f"{ident}/{kid}", oauth_jwt=row["sys_id"], **told)


def _groups(simulator: Simulator) -> Iterator[Row]:
    groups = {row["name"]: row["sys_id"] for row in simulator.rows.rows("sys_user_group")}
    for name, group in simulator.access.groups.items():
        for role in sorted(group.roles):
            yield _row("sys_group_has_role", f"{name}/{role}", group=groups[name], role=_role(simulator, role))
        for member in sorted(group.members):
            user = simulator.rows.user_id(member)
            yield _row("sys_user_grmember", f"{name}/{member}", group=groups[name], user=user)


def _rules(simulator: Simulator) -> Iterator[Row]:
    """Access control by table and operation: the roles of which any one will do."""
    for table in TABLES.values():
        ws_access = _flag(table.name not in simulator.closed)
        yield _row("sys_db_object", table.name, name=table.name, label=table.label, ws_access=ws_access)
        needs = simulator.needs.get(table.name)
        for operation in OPERATIONS if needs is not None else ():
            roles = needs.read if operation == "read" else needs.write  # type: ignore[union-attr]
            if not roles:
                continue
            key = f"{table.name}.{operation}"
            rule = _row("sys_security_acl", key, name=table.name, operation=operation, type="record", active="true")
            yield rule
            for role in sorted(roles - {ADMIN}):
                named = {"sys_security_acl": rule["sys_id"], "sys_user_role": _role(simulator, role)}
                yield _row("sys_security_acl_role", f"{key}/{role}", **named)


def _role(simulator: Simulator, name: str) -> str:
    """Its sys_id; the role is made where nobody has it yet."""
    rows = simulator.rows
    found = next((row["sys_id"] for row in rows.rows("sys_user_role") if row["name"] == name), None)
    return found or rows.insert("sys_user_role", {"name": name}, user="system", now=simulator.clock())["sys_id"]


def _row(table: str, key: str, **fields: str) -> Row:
    row = dict.fromkeys(TABLES[table].columns, "") | fields
    row |= {"sys_id": md5(f"{table}/{key}".encode(), usedforsecurity=False).hexdigest(), "sys_class_name": table}
    return row | {"sys_created_on": AT, "sys_created_by": "system", "sys_updated_on": AT, "sys_updated_by": "system"}


def _flag(value: bool) -> str:
    return "true" if value else "false"

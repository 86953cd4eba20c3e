"""The people, groups and configuration items that every simulated instance starts with. Invented."""

from __future__ import annotations

from datetime import datetime
from hashlib import md5

from bridge.simulator.dictionary import choice_rows, dictionary_rows, override_rows
from bridge.simulator.records import Records
from bridge.simulator.security_tables import CONTEXT_TYPES, OBSERVABLE_TYPES

USERS = {
    "admin": "System Administrator",
    "analyst": "Robin Analyst",
    "fred": "Fred Johnson",
    "mia": "Mia Okafor",
}
GROUPS = ("SOC L1", "SOC L2", "Service Desk", "Cloud Security", "Payments", "Platform", "Network")
CONFIGURATION_ITEMS = (
    ("cmdb_ci_server", "web-01", "192.0.2.11"),
    ("cmdb_ci_server", "web-02", "192.0.2.12"),
    ("cmdb_ci_server", "db-01", "192.0.2.21"),
    ("cmdb_ci_computer", "laptop-fred", "198.51.100.7"),
    ("cmdb_ci_vm_instance", "payments-api-1", "203.0.113.30"),
)


def seed(records: Records, accounts: list[str], *, now: datetime) -> None:
    """`accounts` are the API users: each gets its own sys_user row."""
    people = USERS | {name: f"Integration {name}" for name in accounts if name not in USERS}
    for user_name, name in people.items():
        row = {"user_name": user_name, "name": name, "sys_id": fixed_id("sys_user", user_name)}
        records.insert("sys_user", row, user="system", now=now)
    for group in GROUPS:
        row = {"name": group, "sys_id": fixed_id("sys_user_group", group)}
        records.insert("sys_user_group", row, user="system", now=now)
    for table, name, address in CONFIGURATION_ITEMS:
        row = {"name": name, "ip_address": address, "fqdn": f"{name}.example.com", "sys_id": fixed_id(table, name)}
        records.insert(table, row, user="system", now=now)

    records.load("sys_dictionary", dictionary_rows())
    records.load("sys_dictionary_override", override_rows())
    records.load("sys_choice", choice_rows())
    for value, name in OBSERVABLE_TYPES:
        row = {"value": value, "name": name, "sys_id": fixed_id("sn_ti_observable_type", value)}
        records.insert("sn_ti_observable_type", row, user="system", now=now)
    for name in CONTEXT_TYPES:
        row = {"name": name, "sys_id": fixed_id("sn_ti_observable_context_type", name)}
        records.insert("sn_ti_observable_context_type", row, user="system", now=now)


def fixed_id(table: str, name: str) -> str:
    """The same sys_id at every start, so that a mapping may name a row by it."""
    return md5(f"{table}/{name}".encode(), usedforsecurity=False).hexdigest()

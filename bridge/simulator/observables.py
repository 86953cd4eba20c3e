"""Observables and their links to security incidents, each looked up before it is made: nothing makes them unique."""

from __future__ import annotations

from datetime import datetime

from bridge.simulator.records import Records

Row = dict[str, str]


def type_named(records: Records, name: str) -> Row | None:
    """An observable type by its value, or by the name that people see."""
    wanted = name.casefold()
    types = records.rows("sn_ti_observable_type")
    return next((row for row in types if wanted in (row["value"].casefold(), row["name"].casefold())), None)


def attach(records: Records, task: str, value: str, kind: Row, *, user: str, now: datetime) -> Row:
    """The observable of `value` and `kind`, linked to the security incident `task`; each is made if it is not there."""
    observable = _found(records, "sn_ti_observable", {"value": value, "type": kind["sys_id"]})
    if observable is None:
        fields = {"value": value, "type": kind["sys_id"]}
        observable = records.insert("sn_ti_observable", fields, user=user, now=now)
    link = {"task": task, "observable": observable["sys_id"]}
    if _found(records, "sn_ti_m2m_task_observable", link) is None:
        records.insert("sn_ti_m2m_task_observable", link, user=user, now=now)
    return observable


def _found(records: Records, table: str, fields: Row) -> Row | None:
    return next((row for row in records.rows(table) if all(row[name] == text for name, text in fields.items())), None)

"""Observables of a security incident: `sn_ti_observable` rows, linked by `sn_ti_m2m_task_observable`.

Nothing in ServiceNow keeps either unique, so both are looked up before they are inserted. Two threads of one process
never look and insert at once; two processes may, so after an insert the oldest is looked up once more and linked. What
remains: the younger row stays, linked to nothing, and where each inserted and looked before the other's row was to be
seen, or the younger has the lower sys_id of the same second, each is linked to its own. All later looks agree on one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import quote

import msgspec

from bridge.alert import Observable
from bridge.errors import Permanent, Transient
from bridge.mapping.rendered import Find
from bridge.servicenow.lookup import SEVERAL, can_be_asked, same
from bridge.servicenow.table import TableApi

OBSERVABLES_MAX = 50  # linked to one incident; an alert with more says which machine to look at, not what to block
OBSERVABLE, LINK, TYPE = "sn_ti_observable", "sn_ti_m2m_task_observable", "sn_ti_observable_type"

TYPE_COLUMNS = ("observable.type.value", "observable.type.name")
# Our kinds, and by which value or name ServiceNow may have the type; of another kind, by the kind itself.
TYPE_NAMES = {
    "ipv4": ("ipv4-addr", "IP address (V4)"),
    "ipv6": ("ipv6-addr", "IP address (V6)"),
    "domain": ("domain-name", "Domain name"),
    "url": ("URL",),
    "md5": ("MD5", "MD5 hash"),
    "sha1": ("SHA1", "SHA1 hash"),
    "sha256": ("SHA256", "SHA256 hash"),
    "email": ("email-addr", "Email address"),
}

Deadline = Callable[[], float]  # of the next call


class Observables:
    """Of one instance. Thread-safe."""

    def __init__(self, api: TableApi) -> None:
        self._api = api
        self._inserting = threading.Lock()

    def are_linked(self, sys_id: str, wanted: Sequence[Observable], *, deadline: float) -> bool:
        linked = {
            (row["observable.value"].casefold(), row[column].casefold())
            for row in self._links(sys_id, deadline)
            for column in TYPE_COLUMNS
        }
        return all(
            any((one.value.casefold(), name.casefold()) in linked for name in _names(one))
            for one in wanted[:OBSERVABLES_MAX]
        )

    def link(self, sys_id: str, wanted: Sequence[Observable], *, deadline: Deadline) -> list[str]:
        """Link what is not linked yet. Returns what was left out, and why, for the log: kinds, never values."""
        known = {row["observable"] for row in self._links(sys_id, deadline())}
        left_out = [f"{len(wanted) - OBSERVABLES_MAX} more"] if len(wanted) > OBSERVABLES_MAX else []
        for one in wanted[:OBSERVABLES_MAX]:
            kind = self._api.look_up(_type_of(one), deadline=deadline())
            if not kind or not can_be_asked("value", one.value):
                why = {None: "no such type", SEVERAL: "several types of its name"}.get(kind, "it cannot be looked up")
                left_out.append(f"{one.kind}: {why}")
                continue
            observable = self._observable(one, kind, deadline)
            if observable not in known:
                self._api.insert(LINK, {"task": sys_id, "observable": observable}, deadline=deadline())
                known.add(observable)
        return list(dict.fromkeys(left_out))

    def link_through(self, app: str, sys_id: str, wanted: Sequence[Observable], *, deadline: float) -> list[str]:
        """Let Elastic's app link all at once. It refuses a type that it does not know, and then all of them."""
        sent = [one for one in wanted if _kind(one) in TYPE_NAMES][:OBSERVABLES_MAX]
        left_out = [f"{one.kind}: no such type" for one in wanted if _kind(one) not in TYPE_NAMES]
        if len(wanted) - len(left_out) > OBSERVABLES_MAX:
            left_out.append(f"{len(wanted) - len(left_out) - OBSERVABLES_MAX} more")
        body = [{"value": one.value, "type": TYPE_NAMES[_kind(one)][0]} for one in sent]
        if body:
            path = f"/api/{app}/elastic_api/incident/{quote(sys_id, safe='')}/observables/bulk"
            self._api.client.upload(OBSERVABLE, path, {}, msgspec.json.encode(body), deadline=deadline)
        return list(dict.fromkeys(left_out))

    def _observable(self, one: Observable, kind: str, deadline: Deadline) -> str:
        """The oldest of this value and type, else a new one."""
        with self._alone(deadline()):
            found = self._oldest(one, kind, deadline())
            if found is not None:
                return found
            made = self._api.insert(OBSERVABLE, {"value": one.value, "type": kind}, deadline=deadline())
            return self._oldest(one, kind, deadline()) or made  # another process may have been a moment earlier

    def _oldest(self, one: Observable, kind: str, deadline: float) -> str | None:
        query = f"value={one.value}^type={kind}^ORDERBYsys_created_on^ORDERBYsys_id"
        for row in self._api.rows(OBSERVABLE, query, ("sys_id", "value", "type"), 1, deadline):
            if not same(row.get("value", ""), one.value) or not same(row.get("type", ""), kind):
                raise _unusable(OBSERVABLE)
            return row["sys_id"]
        return None

    def _links(self, sys_id: str, deadline: float) -> list[dict[str, str]]:
        fields = ("task", "observable", "observable.value", *TYPE_COLUMNS)
        rows = self._api.rows(LINK, f"task={sys_id}", fields, 1000, deadline)
        if any(row.get("task", "").lower() != sys_id.lower() for row in rows):
            raise _unusable(LINK)
        return [{name: row.get(name, "") for name in fields} for row in rows]

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        if not self._inserting.acquire(timeout=max(0.0, deadline - self._api.client.monotonic())):
            raise Transient("busy", "Another incident's observables were being inserted until the deadline.")
        try:
            yield
        finally:
            self._inserting.release()


def _type_of(one: Observable) -> Find:
    """By value, then by name, of each name in turn."""
    find: Find | None = None
    for column, name in reversed([(column, name) for name in _names(one) for column in ("value", "name")]):
        find = Find(table=TYPE, by=((column, name),), otherwise=find)
    assert find is not None  # noqa: S101 (there is always a name)
    return find


def _names(one: Observable) -> tuple[str, ...]:
    return TYPE_NAMES.get(_kind(one), (one.kind,))


def _kind(one: Observable) -> str:
    if one.kind != "ip":
        return one.kind
    try:
        return f"ipv{ip_address(one.value).version}"
    except ValueError:
        return "ipv4"  # a network, or with a port: ServiceNow says what it thinks of it


def _unusable(table: str) -> Permanent:
    return Permanent(
        "lookup_unusable",
        f"Rows of {table} came back that were not asked for: let the integration user query it.",
    )

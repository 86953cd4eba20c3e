"""What the tests of intake share: a mapping of their own, deliveries made of it, and a look into the store."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select, text

from bridge.library import Library, Published
from bridge.mapping.load import compile_files
from bridge.store.engine import Store
from bridge.store.prepare import PreparedDelivery, fingerprint, map_content
from bridge.store.revisions import register
from bridge.store.tables import log_entries
from bridge.store.writer import Writer

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
WAIT_SECONDS_MAX = 20.0

PROBE = """
mapping: probe
version: 1
owner: tests@corp.example
each: {in: ".alerts[]"}
extract:
  rule: .rule
  level: .level
  kind: .kind
time: .at
severity:
  from: level
  table: {critical: critical, high: high, low: low}
  default: medium
correlation:
  id: "{{ rule }}"
  display: Probe
  close_when: {.state: resolved}
suppress:
  - {name: noise, reason: a test, permanent: true, when: {kind: noisy}}
route:
  - {when: {kind: unwanted}, to: drop}
  - {to: itsm}
fields:
  create: {short_description: "{{ rule }}"}
"""


def library_of(store: Store, text: str = PROBE) -> Library:
    mapping = compile_files("probe", {"probe.yaml": text})
    with store.transaction() as tx:
        revision = register(tx, mapping="probe", digest=mapping.digest, files=mapping.files, now=NOW)
    return Library({"probe": Published(mapping=mapping, revision_id=revision)})


def body_of(*alerts: dict[str, Any]) -> bytes:
    return json.dumps({"alerts": alerts}).encode()


def alert(rule: str = "r1", **more: Any) -> dict[str, Any]:
    return {"rule": rule, **more}


def delivery(library: Library, *alerts: dict[str, Any], sender_id: str | None = None) -> PreparedDelivery:
    return delivery_of(library, body_of(*alerts), sender_id=sender_id)


def delivery_of(library: Library, body: bytes, *, sender_id: str | None = None) -> PreparedDelivery:
    published = library["probe"]
    return PreparedDelivery(
        source="probe",
        tenant="default",
        mapping="probe",
        revision_id=published.revision_id,
        revision=published.revision,
        sender_id=sender_id,
        content_type="application/json",
        body=body,
        fingerprint=fingerprint("probe", sender_id, body),
        alerts=map_content(published.mapping, body, now=NOW),
        quiet=published.mapping.quiet,
    )


@contextlib.contextmanager
def running_writer(store: Store) -> Iterator[Writer]:
    writer = Writer(
        store, on_commit=lambda: None, observe_queue=lambda _seconds: None, observe_commit=lambda _seconds: None
    )
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def wait_for_a_waiter(store: Store) -> None:
    """Until somebody waits for a lock of this PostgreSQL."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    with store.reading() as tx:
        while not tx.execute(text("select count(*) from pg_locks where not granted")).scalar():
            assert time.monotonic() < until
            time.sleep(0.01)


@cache
def _documented() -> dict[str, set[str]]:
    """Action -> the words that docs/log-entries.md has in its `detail`."""
    page = (Path(__file__).parents[2] / "docs/log-entries.md").read_text()
    lines = [line.split("|") for line in page.splitlines() if re.match(r"\| `\w+` \|.*\|.*\|.*\|$", line)]
    return {cells[1].strip(" `"): set(re.findall(r"`(\w+)`", cells[4])) for cells in lines}


def undocumented(store: Store) -> set[tuple[str, str]]:
    """(action, word) of what entries have in `detail` and the page on them does not name."""
    told = {(row.action, word) for row in rows(store, log_entries) for word in json.loads(row.entry).get("detail", {})}
    return {(action, word) for action, word in told if word not in _documented()[action]}


def rows(store: Store, table: Table) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))

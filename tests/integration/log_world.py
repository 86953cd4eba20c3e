"""What the tests of the log's entries share: an entry holds at least what a table says of it."""

from __future__ import annotations

from typing import Any

import msgspec
from flask.testing import FlaskClient
from intake_world import NOW, library_of, rows, undocumented
from signing import Stub

from bridge.metrics import Metrics
from bridge.settings import SourceAuth
from bridge.sources.auth import verifier_for
from bridge.sources.envelope import envelope_for
from bridge.store.callers import Callers
from bridge.store.engine import Store
from bridge.store.tables import log_entries
from bridge.store.writer import Writer
from bridge.web.app import create_app
from bridge.web.hooks import SourceDoor, hooks

SECRET = b"a secret of this test"


def entries(store: Store, action: str) -> list[dict[str, Any]]:
    """Of one kind, oldest first, as they are stored; all that there are hold nothing that their page does not name."""
    assert undocumented(store) == set()
    return [msgspec.json.decode(row.entry) for row in rows(store, log_entries) if row.action == action]


def part_of(entry: Any, expected: Any) -> Any:
    """So much of the entry as the table speaks of: compared with `expected`, it shows what differs."""
    if isinstance(expected, dict) and isinstance(entry, dict):
        return {name: part_of(entry.get(name), value) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(entry, list) and len(expected) == len(entry):
        return [part_of(one, other) for one, other in zip(entry, expected, strict=True)]
    return entry


def door(auth: SourceAuth, secret: bytes = SECRET) -> SourceDoor:
    return SourceDoor(
        name="probe",
        tenant="default",
        mapping="probe",
        verifier=verifier_for("probe", auth, (secret,)),
        scheme=auth.scheme,
        envelope=envelope_for(None, auth),
        body_bytes_max=64 * 1024,
    )


def client_of(store: Store, writer: Writer, probe: SourceDoor) -> tuple[FlaskClient, Callers]:
    callers = Callers(store, ["probe"])
    doors = hooks(
        sources={"probe": probe},
        library=library_of(store),
        writer=writer,
        metrics=Metrics(),
        clock=lambda: NOW,
        callers=callers,
        outside=Stub({}),
    )
    return create_app(doors).test_client(), callers

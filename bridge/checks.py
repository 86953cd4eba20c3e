"""What /readyz and /metrics of a serving process look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from bridge.errors import BridgeError, Transient
from bridge.library import Library
from bridge.metrics import Backlog
from bridge.sealer import Sealer
from bridge.servicenow.client import Client
from bridge.settings import Settings
from bridge.store import schema
from bridge.store.anchors import unanchored
from bridge.store.backlog import backlog, braked, failing, paused
from bridge.store.engine import Store
from bridge.store.reconciling import unreconciled
from bridge.store.stating import differs
from bridge.store.writer import Writer
from bridge.web.health import Check


def checks(
    settings: Settings,
    store: Store,
    library: Library,
    writer: Writer | None,
    clients: Mapping[str, Client],
    sealer: Sealer,
) -> list[Check]:
    def database() -> str:
        try:
            with store.reading() as tx:
                return store.problem(tx) or schema.unusable(tx)
        except BridgeError as error:
            return error.message

    def asked(sentence: Callable[[Connection], str]) -> Callable[[], str]:
        def problem() -> str:
            try:
                with store.reading() as tx:
                    return sentence(tx)
            except Transient:
                return ""  # told by the store's own check

        return problem

    def instances() -> str:
        problems = {name: client.problem for name, client in clients.items()}
        return " ".join(f"{name}: {problem}" for name, problem in problems.items() if problem)

    anchors = [anchor.name for anchor in settings.anchors]
    return [
        Check(name="store", refuses_deliveries=True, problem=database),
        *([Check(name="intake", refuses_deliveries=True, problem=writer.problem)] if writer is not None else []),
        Check(name="schema", refuses_deliveries=False, problem=asked(schema.overtaken)),
        Check(name="mappings", refuses_deliveries=False, problem=lambda: library.problem),
        Check(name="sync", refuses_deliveries=False, problem=asked(failing)),
        Check(name="brakes", refuses_deliveries=False, problem=asked(braked)),
        Check(name="reconciler", refuses_deliveries=False, problem=asked(unreconciled)),
        Check(name="record", refuses_deliveries=False, problem=asked(differs)),
        Check(name="log", refuses_deliveries=False, problem=sealer.problem),
        Check(name="anchors", refuses_deliveries=False, problem=asked(lambda tx: unanchored(tx, anchors))),
        Check(name="instances", refuses_deliveries=False, problem=instances),
        Check(name="targets", refuses_deliveries=False, problem=asked(lambda tx: paused(tx, settings.targets))),
    ]


def backlog_of(store: Store) -> Backlog | None:
    try:
        with store.reading() as tx:
            return backlog(tx, store.now(tx))
    except Transient:
        return None

"""What a start and a stop of a serving process leave in the store, the log's entries among it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from bridge.alert import Json
from bridge.library import Published
from bridge.log.entries import Action, Entry, append
from bridge.publishing import log_taken
from bridge.settings import Mode, Settings
from bridge.settings.configuration import changed
from bridge.store.engine import Store
from bridge.store.moved import renumber_if_moved
from bridge.store.start import configured_anew, installation_id, void_leases, wake_observed
from bridge.version import version


def begin(settings: Settings, store: Store, current: Mapping[str, Published], *, actor: str, role: str) -> str:
    """What a start changes in the store, in one transaction. Returns the installation's identity."""
    with store.transaction() as tx:
        now = store.now(tx)
        renumber_if_moved(tx)
        installation = installation_id(tx, now)
        if store.is_sqlite:  # one process serves it, and this is that process: whoever held a lease is gone
            void_leases(tx)
        wake_observed(tx, [name for name, target in settings.targets.items() if target.mode is Mode.WRITE], now)
        detail = {"installation": installation, "role": role, "version": version()} | _configured(tx, settings)
        append(tx, Entry(at=now, action=Action.STARTED, actor=actor, detail=detail))
        log_taken(tx, current, actor="start", now=now)
    return installation


def _configured(tx: Connection, settings: Settings) -> dict[str, Json]:
    """Names, and a digest of it all."""
    now = settings.configuration
    before = configured_anew(tx, now.keys)
    news = changed(before, now.keys) if before is not None else []
    return {"configuration": now.digest} | ({"changed": news} if news else {})


def tell_stop(store: Store, *, actor: str) -> None:
    with store.transaction() as tx:
        append(tx, Entry(at=store.now(tx), action=Action.STOPPED, actor=actor, detail={"version": version()}))

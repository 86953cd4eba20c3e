"""What a process that syncs looks after by itself: built here, from what wiring has opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from bridge.attention import attention_mapping
from bridge.library import Library, Published
from bridge.pruning import Pruner
from bridge.schema_file import ReadingFiles, schema_path
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import Mode, Settings, Source
from bridge.store import revisions
from bridge.store.engine import Store
from bridge.sync.lamps import Lamps
from bridge.sync.reconciler import Reconciler
from bridge.sync.stating import Stating
from bridge.watch import SECONDS_MAX, Watch

LAMPS_SECONDS = 30.0
DUE_SECONDS = 60.0  # whether a day's pruning, or a day's statement, is due


def watch(
    settings: Settings,
    store: Store,
    library: Library,
    installation: str,
    clients: Mapping[str, Client],
    sources: Mapping[str, Source],
    *,
    monotonic: Callable[[], float],
) -> list[Watch]:
    """One thread for the reconciler, lamps and pruning, and one for the daily statement, which may take a minute.
    `sources` may change."""
    stopping = threading.Event()
    reconciler = Reconciler(
        store=store,
        targets=settings.targets,
        tables={name: TableApi(client) for name, client in clients.items()},
        calls_per_hour={name: instance.limits.calls_per_hour for name, instance in settings.instances.items()},
        reading_of=ReadingFiles({name: schema_path(settings, name) for name in settings.instances}),
        installation=installation,
        monotonic=monotonic,
        held=targets_where(settings, clients, lambda client: client.held),
        stopping=stopping.is_set,
    )
    lamps = Lamps(
        store=store,
        library=library,
        targets=settings.targets,
        sources=sources,
        attention=settings.attention,
    )
    pruner = Pruner(store, settings.retention)
    stated = Stating(store=store, sources=sources, log_kept=settings.retention.log, stopping=stopping.is_set)
    looks = [(reconciler.sweep, SECONDS_MAX), (lamps.look, LAMPS_SECONDS), (pruner.look, DUE_SECONDS)]
    return [Watch(looks, stopping), Watch([(stated.look, DUE_SECONDS)], stopping)]


def own_mappings(settings: Settings, store: Store) -> dict[str, Published]:
    """What the bridge tells of itself is mapped by a mapping of its own."""
    mapping = attention_mapping(settings.targets)
    with store.transaction() as tx:
        now = store.now(tx)
        row = revisions.register(tx, mapping=mapping.name, digest=mapping.digest, files=mapping.files, now=now)
    return {mapping.name: Published(mapping=mapping, revision_id=row)}


def targets_where(
    settings: Settings, clients: Mapping[str, Client], holds: Callable[[Client], bool]
) -> Callable[[], frozenset[str]]:
    """The targets that are written to of whose instance this holds now."""

    def named() -> frozenset[str]:
        instances = {name for name, client in clients.items() if holds(client)}
        written = (target for target in settings.targets.values() if target.mode is Mode.WRITE)
        return frozenset(target.name for target in written if target.instance in instances)

    return named

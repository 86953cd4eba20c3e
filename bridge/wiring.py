"""The only place that builds engine, clients and clock, and that reads the clock."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import IO, TYPE_CHECKING, Protocol

from bridge.errors import Misconfigured, Problem, Transient
from bridge.settings import Instance, Settings, Target, check_secrets, open_secrets
from bridge.store.engine import Store, open_store
from bridge.store.schema import problem as schema_problem
from bridge.store.schema import upgrade_store

if TYPE_CHECKING:
    from flask import Flask

    from bridge.anchoring import Anchoring
    from bridge.doctor.visit import Visit
    from bridge.library import Library, Published
    from bridge.metrics import Metrics
    from bridge.sealer import Sealer
    from bridge.servicenow.auth import Basic
    from bridge.servicenow.client import Client
    from bridge.store.callers import Callers
    from bridge.store.signins import SignIns
    from bridge.store.writer import Writer
    from bridge.sync.loop import SyncLoop

SYNC_CALLERS_MAX = 8  # threads of a process that call at a time
FLUSH_SECONDS = 60.0  # what was refused, and when each source last came, is stored so often

_log = logging.getLogger(__name__)


class Role(StrEnum):
    """Which half of the bridge a process is."""

    ALL = "all"
    INTAKE = "intake"
    WORKER = "worker"

    @property
    def receives(self) -> bool:
        return self is not Role.WORKER

    @property
    def syncs(self) -> bool:
        return self is not Role.INTAKE


def utc_now() -> datetime:
    """The wall clock, aware UTC."""
    return datetime.now(UTC)


def steady_clock() -> Callable[[], datetime]:
    """The wall clock at this moment plus the time since then: it does not step when the machine's clock is set, and
    goes on while the machine is suspended.
    """
    started, began = utc_now(), since_boot()
    return lambda: started + timedelta(seconds=since_boot() - began)


def since_boot() -> float:
    """Seconds by the clock of the deadlines of calls. It goes on while the machine is suspended, as leases do;
    time.monotonic stands still, and a write that is long over would have seconds left.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def resolve(host: str) -> None:
    """Raises OSError, socket.gaierror among them, when this machine's resolver has no address of the host."""
    socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def open_for_command(settings: Settings) -> Store:
    """The store, for a command beside a serving bridge. Raises Misconfigured when its schema is not this version's."""
    store = open_store(settings.database, utc_now, pool_size=2)
    with store.reading() as tx:
        problem = schema_problem(tx)
    if problem:
        store.close()
        raise Misconfigured([Problem(str(settings.file), 0, 0, problem)])
    return store


def visit_to(
    instance: Instance,
    targets: tuple[Target, ...],
    *,
    say: Callable[[str], None],
    write_probe: bool = False,
    outputs: tuple[str, ...] = (),
    finds: tuple[str, ...] = (),
    administrator: Basic | None = None,
    detects: str = "",
) -> Visit:
    """For the doctor, who tells with `say` what cannot wait. Raises Misconfigured when a secret is not there."""
    from bridge.doctor.visit import Visit

    return Visit(
        instance=instance,
        targets=targets,
        clock=utc_now,
        monotonic=since_boot,
        write_probe=write_probe,
        say=say,
        outputs=outputs,
        finds=finds,
        administrator=administrator,
        detects=detects,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What every process of a bridge begins with."""

    lock: IO[str] | None  # of an SQLite database: to be kept open for life
    published: MappingType[str, Published]


def prepare(settings: Settings, role: Role) -> Prepared:
    """Before any process of a bridge serves: all that could be wrong is found, the schema is this version's.

    Raises Misconfigured.
    """
    from bridge.anchoring import compare_before_start
    from bridge.doors import doors_of
    from bridge.publishing import publish_or_keep
    from bridge.servicenow.names import look_up
    from bridge.store.start import lock_sqlite

    nowhere, unresolved = look_up(settings, resolve) if role.syncs else ([], [])  # whoever only receives calls nobody
    if problems := check_secrets(settings) + nowhere:
        raise Misconfigured(problems)
    for told in (*unresolved, *map(str, open_secrets(settings))):
        _log.warning("%s", told)
    doors_of(settings, None)
    # The store is closed again: a connection must not cross the fork.
    with (
        contextlib.closing(open_store(settings.database, utc_now, pool_size=2)) as store,
        contextlib.ExitStack() as undo,
    ):
        lock = undo.enter_context(lock_sqlite(store.file)) if store.is_sqlite else None
        upgrade_store(store)
        store.probe()  # a disk that is full is told here, in one line
        compare_before_start(settings, store, actor=_actor(role))
        published = publish_or_keep(settings, store)
        undo.pop_all()  # the lock is kept
    return Prepared(lock=lock, published=published)


class Thread(Protocol):
    """What runs beside the requests of a serving process."""

    def start(self) -> None: ...

    def wind_down(self) -> None:
        """It is told to end. Returns at once."""

    def stop(self) -> None:
        """Returns when it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One serving process: its app, and how it stops."""

    app: Flask
    stop: Callable[[], None]


def run(settings: Settings, prepared: Prepared, role: Role) -> Running:
    """Build and start everything in this process. `stop` drains: what was taken is answered, calls in flight finish."""
    from bridge.anchoring import anchoring_of
    from bridge.beginning import begin
    from bridge.checks import backlog_of, checks
    from bridge.doors import Doors
    from bridge.library import Library
    from bridge.metrics import Metrics
    from bridge.publishing import in_use
    from bridge.reloader import Reloader
    from bridge.sealer import sealer_of
    from bridge.sources_file import SourcesFile, still_there
    from bridge.store.callers import Callers
    from bridge.store.signins import SignIns
    from bridge.watch import Watch
    from bridge.watching import own_mappings, watch
    from bridge.web.api import api
    from bridge.web.app import create_app
    from bridge.web.health import CHECK_SECONDS_MAX, health
    from bridge.web.hooks import hooks
    from bridge.web.network import Network, fetched
    from bridge.web.patience import Patient

    settings = still_there(settings)
    closing = contextlib.ExitStack()  # at the end, whatever goes wrong before
    store = closing.enter_context(contextlib.closing(open_store(settings.database, steady_clock())))
    metrics = Metrics()
    taken = in_use(settings, store, known=prepared.published)
    library = Library(taken.current, own_mappings(settings, store) if role.syncs else {})
    installation = begin(settings, store, taken.current, actor=_actor(role), role=role.value)
    clients = _clients(settings, store, metrics, closing) if role.syncs else {}
    loop = _sync_loop(settings, store, library, metrics, installation, clients) if role.syncs else None
    outside = Network(since_boot, get=partial(fetched, proxy=_proxy(settings)))
    doors = Doors(settings, outside)
    watching = (
        watch(settings, store, library, installation, clients, doors.sources, monotonic=since_boot)
        if role.syncs
        else []
    )
    writer = _writer(store, metrics, loop.notify if loop else _nobody) if role.receives else None
    metrics.watch(Patient(lambda: backlog_of(store), seconds=CHECK_SECONDS_MAX))
    metrics.watch_mappings(lambda: bool(library.refused))
    reloader = Reloader(settings, store, library, taken, SourcesFile(settings, doors.opening))
    # What changed since `prepare`, as before a worker that died comes back. The quarantine can wait, senders cannot.
    reloader.look(files=True, replay=False)
    callers, signins = Callers(store, doors.sources), SignIns(store)
    gathered = [(callers.flush, FLUSH_SECONDS), (signins.flush, FLUSH_SECONDS)]
    flushing = Watch(gathered, threading.Event()) if role.receives else None
    sealer = sealer_of(settings, store, installation)
    anchoring = anchoring_of(settings, store, metrics, actor=_actor(role))
    threads = [one for one in (reloader, writer, flushing, loop, *watching, sealer) if one is not None]
    for one in (*threads, anchoring):
        one.start()

    parts = [health(checks=checks(settings, store, library, writer, clients, sealer), metrics=metrics)]
    if writer is not None:
        parts.append(
            hooks(
                sources=doors.doors,
                library=library,
                writer=writer,
                metrics=metrics,
                clock=utc_now,
                callers=callers,
                outside=outside,
            )
        )
        parts.append(api(store=store, signins=signins, clock=store.moment))
    stop = partial(_stop, closing, store, role, threads, [callers, signins], sealer, anchoring)
    return Running(app=create_app(*parts), stop=stop)


def _stop(
    closing: contextlib.ExitStack,
    store: Store,
    role: Role,
    threads: Sequence[Thread],
    gathered: Sequence[Callers | SignIns],
    sealer: Sealer,
    anchoring: Anchoring,
) -> None:
    from bridge.beginning import tell_stop

    with closing:
        for one in threads:  # all are told before one is waited for: their last calls end side by side
            one.wind_down()
        anchoring.wind_down()
        for one in threads:
            one.stop()
        for counts in gathered:
            with contextlib.suppress(Transient):  # of a minute: what was refused, and since when a source is silent
                counts.flush()
        tell_stop(store, actor=_actor(role))
        sealer.finish()
        anchoring.finish()


def _writer(store: Store, metrics: Metrics, on_commit: Callable[[], None]) -> Writer:
    from bridge.store.writer import Writer

    return Writer(
        store,
        on_commit=on_commit,
        observe_queue=metrics.queue_seconds.observe,
        observe_commit=metrics.commit_seconds.observe,
    )


def _proxy(settings: Settings) -> Callable[[], str] | None:
    """The URL of the proxy that intake goes through, as its secret is at each call."""
    from bridge.settings.secrets import proxy_url

    named = settings.server_proxy
    if named is None:
        return None
    return (lambda: named) if isinstance(named, str) else partial(proxy_url, named)


def _actor(role: Role) -> str:
    """The command that runs it."""
    return "worker" if role is Role.WORKER else "serve"


def _nobody() -> None:
    """No sync half in this process: another one polls."""


def _clients(settings: Settings, store: Store, metrics: Metrics, closing: contextlib.ExitStack) -> dict[str, Client]:
    """One for each instance; its token, its limits and what it is known to be like are shared by all that call it."""
    from bridge.servicenow.breaker import HELD
    from bridge.servicenow.client import Client
    from bridge.store.calls import CallShare, Slots

    slots = Slots(store)
    closing.callback(slots.close)

    def share(instance: Instance) -> CallShare | None:
        if store.is_sqlite:  # one process serves it
            return None
        limits = instance.limits
        return CallShare(
            store,
            slots,
            instance.name,
            concurrent=limits.concurrent_calls,
            per_hour=limits.calls_per_hour,
            monotonic=since_boot,
        )

    def counter(instance: str) -> Callable[[str, float], None]:
        return lambda outcome, _seconds: metrics.called(instance, outcome)

    def watch_client(name: str, client: Client) -> None:
        metrics.watch_instance(name, lambda: HELD[client.breaker.state], lambda: client.held_apart)

    clients = {
        name: Client(instance, clock=utc_now, monotonic=since_boot, on_call=counter(name), share=share(instance))
        for name, instance in settings.instances.items()
    }
    for name, client in clients.items():
        closing.callback(client.close)
        watch_client(name, client)
    return clients


def _sync_loop(
    settings: Settings,
    store: Store,
    library: Library,
    metrics: Metrics,
    installation: str,
    clients: MappingType[str, Client],
) -> SyncLoop:
    from bridge.schema_file import ReadingFiles, schema_path
    from bridge.servicenow.table import TableApi
    from bridge.sync.alert import Alerts
    from bridge.sync.loop import SyncLoop
    from bridge.sync.worker import Worker
    from bridge.watching import targets_where

    worker = Worker(
        store=store,
        alerts=Alerts(store, library),
        targets=settings.targets,
        tables={name: TableApi(client) for name, client in clients.items()},
        reading_of=ReadingFiles({name: schema_path(settings, name) for name in settings.instances}),
        installation=installation,
        metrics=metrics,
        monotonic=since_boot,
        held=targets_where(settings, clients, lambda client: client.held or client.waits),
    )
    calls = sum(instance.limits.concurrent_calls for instance in settings.instances.values())
    callers = max(1, min(SYNC_CALLERS_MAX, calls))
    # A process that is alone has a quarter more threads than callers: some commit while the others call. With still
    # more, each would wait longer for its turn to call, out of the seconds that its write has.
    spare = callers // 4 if store.is_sqlite else 0
    return SyncLoop(worker, threads=callers + spare, alone=store.is_sqlite)

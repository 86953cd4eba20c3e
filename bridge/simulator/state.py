"""One simulated instance: its records, faults, calls and the contract violations it saw, behind one lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.alert import Json
from bridge.simulator.access import Access, User
from bridge.simulator.acl import NEEDS, Needs
from bridge.simulator.answers import invalid_table
from bridge.simulator.dictionary import added_rows, staging_rows
from bridge.simulator.enrichment_maps import Enrichment
from bridge.simulator.faults import Faults
from bridge.simulator.rates import Rates
from bridge.simulator.records import Records
from bridge.simulator.seed import seed
from bridge.simulator.switches import Switches
from bridge.simulator.table import Table
from bridge.simulator.transform import PRESETS, Staging

Row = dict[str, str]
Clock = Callable[[], datetime]

CALLS_KEPT = 100_000
VIOLATIONS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A call that broke the contract, or leaned on something that nobody has promised."""

    code: str  # a snake_case word, for assertions
    method: str
    path: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateWrite:
    """A write whose reply was lost and that is applied when its time has come."""

    due: datetime
    apply: Callable[[datetime], None]


class Simulator:
    """Shared by every request thread. Whoever touches `rows` or `late` holds `lock`; the methods here take it."""

    def __init__(
        self,
        *,
        clock: Clock,  # aware UTC
        accounts: dict[str, str],  # user name -> password of the API users
        security_incidents: bool = True,  # whether sn_si_incident's plugin is installed
    ) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self.offset = timedelta()  # by which this instance's clock differs
        self.access = Access(users={name: User(name=name, password=word) for name, word in accounts.items()})
        self.needs: dict[str, Needs] = dict(NEEDS)
        self.security_incidents = security_incidents
        self.missing: frozenset[str] = frozenset()  # scopes whose plugin or app is not installed
        self.closed: frozenset[str] = frozenset()  # tables that web services may not use
        self.switches = Switches()
        self.enrichment = Enrichment()
        self.rates = Rates()
        self.faults = Faults()
        self.rows = Records(self.switches)
        self.staging: dict[str, Staging] = {}
        self.imported: dict[tuple[str, str], Json] = {}  # (staging table, its row) -> what the import answered
        self._import_sets = 0
        self.files: dict[str, bytes] = {}  # the content of each sys_attachment
        self.racing = False  # while an import runs that another one races: coalescing finds nothing
        self.unserviced = 0  # so many items of the next batches are left undone
        self.late: list[LateWrite] = []
        self.stopping = threading.Event()  # set: nobody waits any longer
        self._calls: deque[tuple[str, str, int]] = deque(maxlen=CALLS_KEPT)
        self._violations: deque[Violation] = deque(maxlen=VIOLATIONS_KEPT)
        seed(self.rows, list(accounts), now=self.clock())
        for staging in PRESETS.values():
            self.add_staging(staging)

    def clock(self) -> datetime:
        return self._clock() + self.offset

    @property
    def calls(self) -> list[tuple[str, str, int]]:
        """(method, path with its decoded query, status) of each API call, oldest first; 0: no answer was sent."""
        with self.lock:
            return list(self._calls)

    @property
    def violations(self) -> list[Violation]:
        with self.lock:
            return list(self._violations)

    def note_call(self, method: str, path: str, status: int) -> None:
        with self.lock:
            self._calls.append((method, path, status))

    def note_violation(self, code: str, method: str, path: str, detail: str) -> None:
        with self.lock:
            self._violations.append(Violation(code=code, method=method, path=path, detail=detail))

    def table(self, name: str) -> Table:
        """Raises Refused when there is no such table here."""
        if name not in self.rows.tables or not self.is_installed(name):
            raise invalid_table(name)
        return self.rows.tables[name]

    def is_installed(self, scope: str) -> bool:
        """Whether the plugin or app of a table, or of a scope itself, is there."""
        missing = self.missing | (frozenset() if self.security_incidents else {"sn_si"})
        return not any(scope == name or scope.startswith(f"{name}_") for name in missing)

    def add_user(self, user: User) -> None:
        """Let `user` in, in place of one of that name; a sys_user row is made where there is none."""
        with self.lock:
            self.access.users[user.name] = user
            if not self.rows.user_id(user.name):
                row = {"user_name": user.name, "name": f"Integration {user.name}", "email": user.email}
                self.rows.insert("sys_user", row, user="system", now=self.clock())
            self.rows.replace_roles(user.name, user.roles or frozenset(), now=self.clock())

    def add_staging(self, staging: Staging) -> None:
        """A staging table with its maps, in place of one of that name."""
        with self.lock:
            self.staging[staging.name] = staging
            table = staging.table(self.rows.tables)
            self.rows.add_table(table)
            self.rows.describe(table.name, staging_rows(table, staging.feeds(self.rows.tables)))

    def add_columns(self, table: str, names: tuple[str, ...]) -> None:
        """Columns of an administrator's own, which the staging tables that feed `table` get as well."""
        with self.lock:
            self.rows.add_columns(table, names)
            self.rows.load("sys_dictionary", added_rows(self.rows.tables[table], names))
            for staging in list(self.staging.values()):
                self.add_staging(staging)

    def next_import_set(self) -> str:
        """Its number. The caller holds the lock."""
        self._import_sets += 1
        return f"ISET{10_000 + self._import_sets:07d}"

    def apply_late_writes(self) -> None:
        """Apply the late commits whose time has come, each stamped with its own. Called before anyone looks."""
        with self.lock:
            now = self.clock()
            due = sorted((write for write in self.late if write.due <= now), key=lambda write: write.due)
            self.late = [write for write in self.late if write.due > now]
            for write in due:
                write.apply(write.due)

    def apply_later(self, seconds: float, apply: Callable[[datetime], None]) -> None:
        with self.lock:
            self.late.append(LateWrite(due=self.clock() + timedelta(seconds=seconds), apply=apply))

    def records(self, table: str) -> list[Row]:
        """Copies of all rows of a table, oldest first."""
        with self.lock:
            self.apply_late_writes()
            return [dict(row) for row in self.rows.rows(table)]

    def record(self, table: str, sys_id: str) -> Row | None:
        with self.lock:
            self.apply_late_writes()
            row = self.rows.get(table, sys_id)
            return None if row is None else dict(row)

    def journal(self, sys_id: str) -> list[Row]:
        """Journal entries of a record (sys_journal_field rows), oldest first."""
        with self.lock:
            self.apply_late_writes()
            return [dict(entry) for entry in self.rows.journal(sys_id)]

    def person_creates(self, table: str, user: str = "analyst", **fields: str) -> Row:
        with self.lock:
            self.apply_late_writes()
            return dict(self.rows.insert(self.table(table).name, fields, user=user, now=self.clock()))

    def person_edits(self, table: str, sys_id: str, user: str = "analyst", **fields: str) -> Row:
        """Change a record as a person does at the form; the same policies hold (raises Refused)."""
        return self.edit_as_person(table, sys_id, fields, user=user)

    def edit_as_person(self, table: str, sys_id: str, fields: Row, *, user: str) -> Row:
        with self.lock:
            self.apply_late_writes()
            return dict(self.rows.update(self.table(table).name, sys_id, fields, user=user, now=self.clock()))

    def person_deletes(self, table: str, sys_id: str) -> None:
        with self.lock:
            self.apply_late_writes()
            self.rows.delete(self.table(table).name, sys_id)

"""The Import Set API: a row goes into a staging table, a transform map makes a record of it, one result for each map.

inserted, updated   applied, once a read of the record shows that it is ours
ignored, skipped    nothing was written by this row: the record is looked up, and ours is taken
error               a refusal, with what the map said

What other maps of the staging table made of the same row is none of our incident, and is told beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.alert import Json
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.mapping.model import JOURNALS
from bridge.servicenow import outcome
from bridge.servicenow.identity import not_carried
from bridge.servicenow.ownership import same_owner
from bridge.servicenow.record import Beside, Created, Record, changed_after_ours
from bridge.servicenow.table import SYS_ID, TableApi
from bridge.settings import Staging, Target

HEALTHY_SECONDS = 300.0  # an app that answered is not asked again for this long
SAID_CHARACTERS_MAX = 500
NOT_COALESCED, SEVERAL_RECORDS = "not_coalesced", "several_records"
WRITTEN, NOT_WRITTEN = frozenset({"inserted", "updated"}), frozenset({"ignored", "skipped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one transform map made of the row."""

    status: str  # inserted | updated | ignored | skipped | error
    map: str
    table: str  # "" when no map ran
    sys_id: str
    number: str
    said: str  # error_message and status_message

    @property
    def written(self) -> bool:
        return self.status in WRITTEN and bool(self.sys_id)

    @property
    def beside(self) -> Beside:
        of = f"the transform map {self.map}" if self.map else "a transform map"
        if self.status in WRITTEN:
            return Beside(
                f"{of} {self.status} {self.number or self.sys_id or 'a record'} in {self.table or 'some table'}"
            )
        return Beside(f"{of}{f' to {self.table}' if self.table else ''} failed", self.said or "it says no more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one row."""

    sys_id: str | None  # of the record that it made or changed; None when the maps left it
    said: str  # by all maps, for people
    beside: tuple[Beside, ...] = ()  # what other maps did
    http_status: int | None = None
    there: bool = False  # it was changed, not made
    number: str = ""  # of that record


class ImportSetWay:
    """Thread-safe."""

    def __init__(self, target: Target, api: TableApi) -> None:
        if target.staging is None:
            raise ValueError("an import set needs a staging table")
        self._target = target
        self._table = target.table
        self._staging: Staging = target.staging
        self._api = api
        self._lock = threading.Lock()
        self._healthy_until = 0.0

    def create(self, fields: Mapping[str, str], *, also: Iterable[str] = (), deadline: float) -> Created:
        sent = self._sent(fields, {}, deadline)
        if sent.sys_id is None:
            there = self._there(fields, sent.said, deadline)
            return Created(replace(there, beside=sent.beside, http_status=sent.http_status), there=True, sent=False)
        made = None if sent.there else (sent.sys_id, sent.number)
        record = self._read(sent.sys_id, (*fields, *also), deadline, made=made)
        if lost := not_carried(record, fields, self._target):
            raise Permanent(
                "id_not_carried",
                f"{record.number} was made without our {' and '.join(lost)}: let the transform map "
                f"of {self._staging.table} carry {'it' if len(lost) == 1 else 'them'}, and close that record.",
                made=(record.sys_id, record.number),
            )
        record = replace(record, beside=sent.beside, http_status=sent.http_status)
        return Created(record, there=sent.there)

    def update(self, before: Record, fields: Mapping[str, str], *, key: Mapping[str, str], deadline: float) -> Record:
        sys_id = before.sys_id
        if not self._staging.coalesces:
            return self._api.update(self._table, sys_id, fields, deadline=deadline)
        column = self._staging.record_column
        sent = self._changed({**fields, **key}, {column: sys_id} if column else {}, deadline)
        written = sent.sys_id
        record = self._read(written or sys_id, fields, deadline)
        if written is not None and written.lower() != sys_id.lower():
            raise Permanent(
                NOT_COALESCED,
                f"The transform map of {self._staging.table} made {record.number} instead of updating one: let it "
                f"coalesce on {' or '.join(key)}, and close what it made. Where it does coalesce, two imports have "
                f"met, and closing {record.number} is enough.",
                made=(record.sys_id, record.number),
            )
        if written is None and not self._shows(record, fields, deadline):
            raise Permanent(
                "import_left",
                f"The transform map of {self._staging.table} ignored the row, and {record.number} is as it was: look "
                f"at its onBefore scripts and conditions. It said: {sent.said}",
            )
        if fields.get("state", record.state) != record.state and not changed_after_ours(before, record):
            raise Permanent(
                "state_not_carried",
                f"{record.number} kept its state: let the transform map of {self._staging.table} carry the state.",
            )
        return replace(record, beside=sent.beside, http_status=sent.http_status)

    def _changed(self, fields: Mapping[str, str], as_they_are: Mapping[str, str], deadline: float) -> Sent:
        """Put in a row that is to change one record: one that made several has not found it."""
        try:
            return self._sent(fields, as_they_are, deadline)
        except Permanent as error:
            if error.code != SEVERAL_RECORDS:
                raise
            raise Permanent(NOT_COALESCED, error.message, made=error.made) from error

    def _sent(self, fields: Mapping[str, str], as_they_are: Mapping[str, str], deadline: float) -> Sent:
        """Put one row in."""
        self._ask_health(deadline)
        staging = self._staging
        row = {**{staging.column(name): value for name, value in fields.items()}, **as_they_are}
        path = f"/api/now/import/{staging.table}"
        answer = self._api.client.write("POST", staging.table, path, {}, row, deadline=deadline)
        results = _results(answer.result)
        mine = [result for result in results if result.table in (self._table, "")]
        others = tuple(result.beside for result in results if result not in mine and result.status not in NOT_WRITTEN)
        written = {result.sys_id: result for result in mine if result.written and result.table}
        said = "; ".join(dict.fromkeys(result.said for result in results if result.said)) or "nothing more"
        if len(written) > 1:
            numbers = ", ".join(result.number for result in written.values())
            first = next(iter(written.values()))
            raise Permanent(
                SEVERAL_RECORDS,
                f"The transform maps of {staging.table} made {numbers} of one row: keep one map to {self._table}, and "
                "close all of these but one.",
                made=(first.sys_id, first.number),
            )
        if written:
            failed = tuple(result.beside for result in mine if result.status not in WRITTEN | NOT_WRITTEN)
            sys_id, result = next(iter(written.items()))
            return Sent(
                sys_id=sys_id,
                number=result.number,
                said=said,
                beside=failed + others,
                http_status=answer.status,
                there=all(result.status == "updated" for result in mine if result.written),
            )
        if any(result.status in WRITTEN for result in mine):
            raise outcome.unsure("no_sys_id", "The import wrote a record, but its answer names none.", writes=True)
        if mine and all(result.status in NOT_WRITTEN for result in mine):
            return Sent(sys_id=None, said=said, beside=others, http_status=answer.status)
        raise Permanent("import_error", self._refusal(results, said))

    def _refusal(self, results: Sequence[Result], said: str) -> str:
        """What a person is told of a row of which nothing came in our table."""
        staging, table = self._staging.table, self._table
        elsewhere = " and ".join(f"{result.number} of {result.table}" for result in results if result.written)
        close = f" Close {elsewhere}, which another map made of the same row." if elsewhere else ""
        if not results:
            return f"No transform map of {staging} has made anything of the row: make one to {table} that is active."
        if not any(result.table in (table, "") for result in results):
            return f"No transform map of {staging} writes {table}: make one that does.{close}"
        return f"The transform map of {staging} refused the row: {said}" + (f".{close}" if close else "")

    def _shows(self, record: Record, fields: Mapping[str, str], deadline: float) -> bool:
        """Whether all that was to be written is there already: then the row was left because it changed nothing."""
        note = fields.get("work_notes", "").rpartition("\n")[2]  # its last line is our [ref]
        if note and self._api.has_note(self._table, record.sys_id, note, deadline=deadline) is False:
            return False
        return all(record.text(name) == value for name, value in fields.items() if name not in JOURNALS)

    def _there(self, fields: Mapping[str, str], said: str, deadline: float) -> Record:
        """After a row that was left: the record that is ours, if there is one."""
        found = self._api.find(self._table, fields["correlation_id"], deadline=deadline)
        mine = [record for record in found if same_owner(record, fields)]
        if not mine:
            raise Permanent(
                "import_left",
                f"The transform map of {self._staging.table} ignored the row, and there is no record of ours: look at "
                f"its onBefore scripts and conditions. It said: {said}",
            )
        return mine[-1]  # the youngest: those of earlier episodes are older

    def _read(
        self, sys_id: str, fields: Iterable[str], deadline: float, *, made: tuple[str, str] | None = None
    ) -> Record:
        """What was written, as it is now. It happened: what cannot be seen of it is looked up, not sent again."""
        try:
            record = self._api.read(self._table, sys_id, fields=fields, deadline=deadline)
        except (Transient, Permanent) as error:
            raise Ambiguous("unverified", f"The import was applied, and then: {error.message}", made=made) from error
        if record is None:
            raise Ambiguous("unverified", "The import was applied, but its record cannot be read.", made=made)
        return record

    def _ask_health(self, deadline: float) -> None:
        """Elastic's app answers for itself: where it is not installed, its staging table is not there either."""
        app, now = self._staging.app, self._api.client.monotonic()
        with self._lock:
            if app is None or now < self._healthy_until:
                return
        try:
            answer = self._api.client.read(self._staging.table, f"/api/{app}/elastic_api/health", {}, deadline=deadline)
        except Permanent as error:
            if error.code != "wrong_url":
                raise
            answer = None
        if answer is None:
            raise Permanent(
                "app_not_installed",
                f"Elastic's app {app} is not installed: install it from the ServiceNow Store, or say `write: table`.",
            )
        with self._lock:
            self._healthy_until = now + HEALTHY_SECONDS


def _results(result: Json) -> Sequence[Result]:
    if not isinstance(result, list) or not all(isinstance(row, dict) for row in result):
        raise outcome.unsure("unreadable_answer", "The answer is not the Import Set API's.", writes=True)
    return [_result(row) for row in result]


def _result(row: dict[str, Json]) -> Result:
    def text(name: str) -> str:
        value = row.get(name)
        return value if isinstance(value, str) else ""

    said = ": ".join(part for part in (text("error_message"), text("status_message")) if part)
    return Result(
        status=text("status").lower(),
        map=text("transform_map"),
        table=text("table"),
        sys_id=text("sys_id") if SYS_ID.fullmatch(text("sys_id")) else "",
        number=text("display_value"),
        said=" ".join(said.split())[:SAID_CHARACTERS_MAX],
    )

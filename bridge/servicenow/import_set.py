"""The Import Set API: a row goes into a staging table, a transform map makes a record of it, one result for each map.

inserted, updated   applied, once a read of the record shows that it is ours
ignored, skipped    nothing was written by this row: the record is looked up, and ours is taken
error               a refusal, with what the map said
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.alert import Json
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.mapping.model import JOURNALS
from bridge.servicenow import outcome
from bridge.servicenow.ownership import same_owner
from bridge.servicenow.record import Record
from bridge.servicenow.table import SYS_ID, TableApi
from bridge.settings import Staging, Target

HEALTHY_SECONDS = 300.0  # an app that answered is not asked again for this long
HELD_BACK_SECONDS = 300.0  # after an update that made a record, none is sent for this long: each would make another
SAID_CHARACTERS_MAX = 500
WRITTEN, NOT_WRITTEN = frozenset({"inserted", "updated"}), frozenset({"ignored", "skipped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one transform map made of the row."""

    status: str  # inserted | updated | ignored | skipped | error
    table: str  # "" when no map ran
    sys_id: str
    number: str
    said: str  # error_message and status_message

    @property
    def written(self) -> bool:
        return self.status in WRITTEN and bool(self.sys_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one row."""

    sys_id: str | None  # of the record that it made or changed; None when the maps left it
    said: str  # by all maps, for people


class ImportSetWay:
    """Thread-safe."""

    def __init__(self, target: Target, api: TableApi) -> None:
        if target.staging is None:
            raise ValueError("an import set needs a staging table")
        self._table = target.table
        self._staging: Staging = target.staging
        self._api = api
        self._lock = threading.Lock()
        self._healthy_until = 0.0
        self._held_back_until = 0.0

    def create(self, fields: Mapping[str, str], *, deadline: float) -> Record:
        sent = self._sent(fields, {}, deadline)
        if sent.sys_id is None:
            return self._there(fields, sent.said, deadline)
        record = self._read(sent.sys_id, fields, deadline)
        if not same_owner(record, fields):
            raise Permanent(
                "id_not_carried",
                f"{record.number} was made without our correlation_id and correlation_display: let the transform map "
                f"of {self._staging.table} carry both, and close that record.",
            )
        return record

    def update(self, sys_id: str, fields: Mapping[str, str], *, key: Mapping[str, str], deadline: float) -> Record:
        if not self._staging.coalesces:
            return self._api.update(self._table, sys_id, fields, deadline=deadline)
        with self._lock:
            if self._api.client.monotonic() < self._held_back_until:
                raise self._not_coalesced("another record", key)
        column = self._staging.record_column
        sent = self._sent({**fields, **key}, {column: sys_id} if column else {}, deadline)
        written = sent.sys_id
        record = self._read(written or sys_id, fields, deadline)
        if written is not None and written.lower() != sys_id.lower():
            with self._lock:
                self._held_back_until = self._api.client.monotonic() + HELD_BACK_SECONDS
            raise self._not_coalesced(record.number, key)
        if written is None and not self._shows(record, fields, deadline):
            raise Permanent(
                "import_left",
                f"The transform map of {self._staging.table} ignored the row, and {record.number} is as it was: look "
                f"at its onBefore scripts and conditions. It said: {sent.said}",
            )
        if fields.get("state", record.state) != record.state:
            raise Permanent(
                "state_not_carried",
                f"{record.number} kept its state: let the transform map of {self._staging.table} carry the state.",
            )
        return record

    def _not_coalesced(self, made: str, key: Mapping[str, str]) -> Permanent:
        return Permanent(
            "not_coalesced",
            f"The transform map of {self._staging.table} made {made} instead of updating one: let it coalesce on "
            f"{' or '.join(key)}, and close what it made.",
        )

    def _sent(self, fields: Mapping[str, str], as_they_are: Mapping[str, str], deadline: float) -> Sent:
        """Put one row in."""
        self._ask_health(deadline)
        staging = self._staging
        row = {**{staging.column(name): value for name, value in fields.items()}, **as_they_are}
        path = f"/api/now/import/{staging.table}"
        answer = self._api.client.write("POST", staging.table, path, {}, row, deadline=deadline)
        results = _results(answer.result)
        mine = [result for result in results if result.table in (self._table, "")]
        written = {result.sys_id: result for result in mine if result.written and result.table}
        said = "; ".join(dict.fromkeys(result.said for result in results if result.said)) or "nothing more"
        if len(written) > 1:
            numbers = ", ".join(result.number for result in written.values())
            raise Permanent(
                "several_records",
                f"The transform maps of {staging.table} made {numbers} of one row: keep one map to {self._table}.",
            )
        if written:
            return Sent(sys_id=next(iter(written)), said=said)
        if any(result.status in WRITTEN for result in mine):
            raise outcome.unsure("no_sys_id", "The import wrote a record, but its answer names none.", writes=True)
        if mine and all(result.status in NOT_WRITTEN for result in mine):
            return Sent(sys_id=None, said=said)
        raise Permanent("import_error", f"The transform map of {staging.table} refused the row: {said}")

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

    def _read(self, sys_id: str, fields: Mapping[str, str], deadline: float) -> Record:
        """What was written, as it is now. It happened: what cannot be seen of it is looked up, not sent again."""
        try:
            record = self._api.read(self._table, sys_id, fields=fields, deadline=deadline)
        except Transient as error:
            raise Ambiguous("unverified", f"The import was applied, and then: {error.message}") from error
        if record is None:
            raise Ambiguous("unverified", "The import was applied, but its record cannot be read.")
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
        table=text("table"),
        sys_id=text("sys_id") if SYS_ID.fullmatch(text("sys_id")) else "",
        number=text("display_value"),
        said=" ".join(said.split())[:SAID_CHARACTERS_MAX],
    )

"""The ways of writing a record, one shape for all: how it is sent differs, what may come of it does not.

    table        the Table API
    unique       the Table API, where a unique index on `key_field` refuses a second record
    import_set   a staging table, whose transform map writes the record (`import_set.py`)

A write returns the record as ServiceNow has it, a create also whether it was there already; or it raises Transient (not
applied), Ambiguous (look before trying again) or Permanent (a person must look). Whoever calls needs to know no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from bridge.errors import Permanent
from bridge.servicenow.identity import not_carried
from bridge.servicenow.import_set import ImportSetWay
from bridge.servicenow.ownership import same_owner
from bridge.servicenow.record import Created, Record
from bridge.servicenow.table import TableApi
from bridge.settings import Target, Write


class Way(Protocol):
    """`key`: the columns by which ServiceNow itself can find the record: the correlation ID, and the `key_field`.
    `also`: columns that are read back besides those that are written.
    """

    def create(self, fields: Mapping[str, str], *, also: Iterable[str] = (), deadline: float) -> Created: ...

    def update(self, before: Record, fields: Mapping[str, str], *, key: Mapping[str, str], deadline: float) -> Record:
        """`before`: as it was read."""


class TableWay:
    def __init__(self, target: Target, api: TableApi) -> None:
        self._target = target
        self._table = target.table
        self._api = api

    def create(self, fields: Mapping[str, str], *, also: Iterable[str] = (), deadline: float) -> Created:
        return self._kept(self._api.create(self._table, fields, also=also, deadline=deadline), fields)

    def _kept(self, record: Record, fields: Mapping[str, str]) -> Created:
        """A rule may change a column, and an ACL may drop it, without a word: then no look-up would find the record."""
        if lost := not_carried(record, fields, self._target):
            raise Permanent(
                "id_not_carried",
                f"{record.number} was made, and {' and '.join(lost)} came back as something else than was sent, or not "
                f"at all: see which business rule, access rule or missing column of {self._table} does that, and close "
                f"{record.number}.",
                made=(record.sys_id, record.number),
            )
        return Created(record)

    def update(self, before: Record, fields: Mapping[str, str], *, key: Mapping[str, str], deadline: float) -> Record:
        del key  # the address has the sys_id
        return self._api.update(self._table, before.sys_id, fields, deadline=deadline)


class UniqueWay(TableWay):
    """The second insert of a key fails, and what has the key is returned: nothing is left to a look-up's luck."""

    def __init__(self, target: Target, api: TableApi) -> None:
        super().__init__(target, api)
        self._key_field = target.key_field

    def create(self, fields: Mapping[str, str], *, also: Iterable[str] = (), deadline: float) -> Created:
        try:
            made = self._api.create(self._table, fields, also=also, deadline=deadline)
        except Permanent as refusal:
            # How a violated index is told differs by release and database: whether the key is taken tells more.
            first = self._first(fields, refusal, deadline)
            if first is None:
                raise
            if not same_owner(first, fields):
                raise Permanent(
                    "id_in_use",
                    f"{first.number} has the {self._key_field} of this incident and is not ours: nothing is written to "
                    "it. Change it there.",
                ) from refusal
            return Created(first, there=True, sent=False)
        return self._kept(made, fields)

    def _first(self, fields: Mapping[str, str], refusal: Permanent, deadline: float) -> Record | None:
        """Who has the key. Where that may not be asked the refusal stands, for it is what a person must look at."""
        try:
            found = self._api.find(self._table, fields[self._key_field], field=self._key_field, deadline=deadline)
        except Permanent as error:
            said = f"{refusal.message} Whether {self._key_field} is taken cannot be seen: {error.message}"
            raise Permanent(refusal.code, said) from error
        return found[0] if found else None


WAYS: dict[Write, Callable[[Target, TableApi], Way]] = {
    Write.TABLE: TableWay,
    Write.UNIQUE: UniqueWay,
    Write.IMPORT_SET: ImportSetWay,
}


def way_of(target: Target, api: TableApi) -> Way:
    return WAYS[target.write](target, api)

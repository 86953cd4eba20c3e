"""Staging tables and their transform maps: how an import's row becomes a record, and the presets of well-known apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.simulator.table import Table, columns

Row = dict[str, str]

SYSTEM_OWN = ("sys_", "number")  # columns that no import fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An onBefore script that turns a row away when each column of `when` holds exactly its text ("": is empty)."""

    status: str  # error | ignored | skipped
    when: Mapping[str, str] = field(default_factory=dict)  # staging column -> text; empty: every row
    error_message: str = ""
    status_message: str = "Row transform ignored by onBefore script"  # [ALIKE]

    def meets(self, row: Row) -> bool:
        return all(row.get(column, "") == text for column, text in self.when.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformMap:
    name: str  # shown as transform_map
    target: str  # the table that is written
    prefix: str = ""  # the staging column `prefix + x` fills column x of the target
    fields: Mapping[str, str] = field(default_factory=dict)  # staging column -> column of the target, beside that
    # Ways to find the record to update, each a list of target columns that must all match; the first way whose columns
    # all have a value is taken. Empty: always insert [OFFICIAL].
    coalesce: tuple[tuple[str, ...], ...] = ()
    reject: tuple[Rejection, ...] = ()
    match_ci: bool = False  # cmdb_ci by sys_id, name, FQDN, IP, in this order [OFFICIAL of the SIR map]

    def column(self, staging_column: str, target: Table) -> str | None:
        """The target's column that a staging column fills; None: it fills none."""
        if staging_column in self.fields:
            return self.fields[staging_column]
        if not staging_column.startswith(self.prefix):
            return None
        name = staging_column.removeprefix(self.prefix)
        known = name in target.columns and not name.startswith(SYSTEM_OWN)
        return name if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A staging table with the maps that run over each of its rows, in this order."""

    name: str
    maps: tuple[TransformMap, ...]  # none: "No transform entry or scripts are defined"
    columns: tuple[str, ...] = ()  # beside those that the maps read; a value for another column is dropped

    def feeds(self, tables: Mapping[str, Table]) -> dict[str, str]:
        """Staging column -> the column that it feeds; where several maps read one, as the first of them does."""
        read = [_read_by(each, tables[each.target]) for each in reversed(self.maps)]
        return {column: fed for one in read for column, fed in one.items()}

    def table(self, tables: Mapping[str, Table]) -> Table:
        """The staging table itself, where `tables` are those of the instance."""
        own = columns(" ".join([*self.columns, *self.feeds(tables)]))
        return Table(name=self.name, label=self.name, columns=own, display="sys_id", plain=True)


def _read_by(each: TransformMap, target: Table) -> dict[str, str]:
    """Staging column -> the target's column that it feeds."""
    own = [name for name in target.columns if not name.startswith(SYSTEM_OWN)]
    return {each.prefix + name: name for name in own} | dict(each.fields)


def _elastic(name: str, title: str, target: str) -> Staging:
    """[KIBANA]: u_ columns, elastic_incident_id on an update, the correlation ID deciding on a create.

    An `elastic_incident_id` that names no record falls through to the correlation ID [UNVERIFIED].
    """
    each = TransformMap(
        name=title,
        target=target,
        prefix="u_",
        fields={"elastic_incident_id": "sys_id"},
        coalesce=(("sys_id",), ("correlation_id",)),
    )
    return Staging(name=name, maps=(each,))


ELASTIC_ITSM = _elastic("x_elas2_inc_int_elastic_incident", "Elastic Incident", "incident")
ELASTIC_SIR = _elastic("x_elas2_sir_int_elastic_si_incident", "Elastic Security Incident", "sn_si_incident")
# [OFFICIAL] the endpoint; the map's name [OFFICIAL]; whether it coalesces is not told: here it does not.
SIR_IMPORT = Staging(
    name="sn_si_incident_import",
    maps=(TransformMap(name="Security Incident Transform", target="sn_si_incident", match_ci=True),),
)

PRESETS = {staging.name: staging for staging in (ELASTIC_ITSM, ELASTIC_SIR, SIR_IMPORT)}

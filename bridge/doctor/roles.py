"""The roles that are enough, by what the bridge writes and how. docs/servicenow-setup.md shows this table. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.settings import Target, Write

# Roles that open more than the bridge needs; the doctor calls them wrong.
TOO_MUCH = frozenset({"admin", "itil_admin", "security_admin", "sn_si.admin", "impersonator", "user_admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What it is for, and the roles of which any one will do: the least of them first."""

    why: str  # follows "to"
    any_of: tuple[str, ...]


# `sn_incident_write` contains `sn_incident_read`, and `itil` is from before it, as ServiceNow's pages on roles have it;
# `sn_si.basic` and the import's roles are those that Elastic asks for in its guide to the same APIs.
TABLE = {
    "incident": Need(why="read and write incident", any_of=("sn_incident_write", "itil")),
    "sn_si_incident": Need(
        why="read and write sn_si_incident", any_of=("sn_si.basic", "sn_si.analyst", "sn_si.integration_user")
    ),
}
# Of `find` in mappings, and of every table that extends cmdb_ci: no page says which role is the least.
CMDB = Need(why="look up configuration items", any_of=("cmdb_read", "itil", "sn_si.basic", "sn_si.analyst"))
IMPORT = (
    Need(why="put rows into a staging table", any_of=("import_set_loader", "import_admin")),
    Need(why="have its transform map run", any_of=("import_transformer", "import_admin")),
)


def needs_of(target: Target) -> tuple[Need, ...]:
    """What the integration user needs for this target."""
    needs = [TABLE[target.table]]
    if target.write is Write.IMPORT_SET:
        needs += IMPORT
        if target.staging is not None and target.staging.app is not None:
            app = target.staging.app
            needs.append(Need(why=f"use Elastic's app {app}", any_of=(f"{app}.integration_user",)))
    return tuple(needs)


def is_ci(table: str) -> bool:
    return table == "cmdb_ci" or table.startswith("cmdb_ci_")


def lacking(targets: Iterable[Target], has: Iterable[str], finds: Iterable[str] = ()) -> tuple[Need, ...]:
    """The needs that none of these roles meets. A role of the instance's own may meet them all the same."""
    needs = [need for target in targets for need in needs_of(target)]
    needs += [CMDB for table in finds if is_ci(table)]
    return tuple(need for need in dict.fromkeys(needs) if not set(need.any_of) & set(has))

"""Which roles a call needs. A user whose roles are not told may do everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.simulator.access import User
from bridge.simulator.administration_tables import ADMINISTRATION_TABLES

ADMIN = "admin"
SIR_ROLES = frozenset({"sn_si.basic", "sn_si.analyst", "sn_si.admin", "sn_si.integration_user"})
ITSM_ROLES = frozenset({"itil", "sn_incident_write"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Any one of these roles; empty: every user."""

    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()


def _needs(read: frozenset[str] | set[str], write: frozenset[str] | set[str] | None = None) -> Needs:
    return Needs(read=frozenset(read), write=frozenset(read if write is None else write))


# A table that extends another goes by its rules.
CI_TABLES = ("cmdb_ci", "cmdb_ci_computer", "cmdb_ci_server", "cmdb_ci_vm_instance")
LOADER = frozenset({"import_set_loader", "import_transformer", "import_admin"})  # [CLIENT Elastic's list]

# By table or by API: sn_si.* and the loaders [CLIENT], sn_sec_cmn.api_write [OFFICIAL], the rest [UNVERIFIED].
NEEDS: Mapping[str, Needs] = {
    "incident": _needs(ITSM_ROLES | {"sn_incident_read"}, ITSM_ROLES),
    "sn_si_incident": _needs(SIR_ROLES),
    "sys_user": _needs(frozenset(), {"user_admin"}),
    "sys_user_group": _needs(frozenset(), {"user_admin"}),
    **dict.fromkeys(CI_TABLES, _needs({"itil", "cmdb_read", "sn_si.read_ci", *SIR_ROLES}, {"itil"})),
    "sys_dictionary": _needs({"personalize_dictionary"}),
    "sys_dictionary_override": _needs({"personalize_dictionary"}),
    "sys_user_has_role": _needs({"user_admin"}),
    **{name: _needs({ADMIN}) for name in (table.name for table in ADMINISTRATION_TABLES)},
    "sys_choice": _needs({"personalize_choices"}),
    "sys_journal_field": _needs({"personalize_journal"}),
    "em_event": _needs({"evt_mgmt_integration", "evt_mgmt_admin"}),
    "sn_ti_observable": _needs({"sn_ti.read", "sn_ti.write", *SIR_ROLES}, {"sn_ti.write", *SIR_ROLES}),
    "sn_ti_m2m_task_observable": _needs({"sn_ti.read", "sn_ti.write", *SIR_ROLES}, {"sn_ti.write", *SIR_ROLES}),
    "import": _needs(LOADER),
    "enrichment": _needs({"sn_sec_cmn.api_write"}),
    "x_elas2_inc_int": _needs({"x_elas2_inc_int.integration_user"}),
    "x_elas2_sir_int": _needs({"x_elas2_sir_int.integration_user"}),
}


def may_read(needs: Mapping[str, Needs], user: User, what: str) -> bool:
    return _may(user, needs.get(what, Needs()).read)


def may_write(needs: Mapping[str, Needs], user: User, what: str) -> bool:
    return _may(user, needs.get(what, Needs()).write)


def _may(user: User, any_of: frozenset[str]) -> bool:
    return user.roles is None or not any_of or ADMIN in user.roles or bool(any_of & user.roles)

"""The tables that exist here: their columns, references, choices, lengths and what an insert fills in.

Columns of `incident` follow the record printed in the documentation [OFFICIAL c_TableAPI.md]; those of `sn_si_incident`
a recorded one and what other integrations write [CLIENT].
"""

from __future__ import annotations

from dataclasses import dataclass, field

SYSTEM = "sys_id sys_created_on sys_created_by sys_updated_on sys_updated_by sys_mod_count sys_tags"
TASK = (
    "active activity_due additional_assignee_list approval approval_history approval_set assigned_to assignment_group"
    " business_duration business_service calendar_duration close_notes closed_at closed_by cmdb_ci comments"
    " comments_and_work_notes company contact_type contract correlation_display correlation_id delivery_plan"
    " delivery_task description due_date escalation expected_start follow_up group_list impact knowledge location"
    " made_sla number opened_at opened_by order parent priority reassignment_count route_reason service_offering"
    " short_description sla_due state sys_class_name sys_domain sys_domain_path task_effective_number time_worked"
    " universal_request upon_approval upon_reject urgency user_input watch_list work_end work_notes work_notes_list"
    " work_start"
)
INCIDENT = (
    "business_impact business_stc calendar_stc caller_id category cause caused_by child_incidents close_code"
    " hold_reason incident_state notify origin_id origin_table parent_incident problem_id reopen_count reopened_by"
    " reopened_time resolved_at resolved_by rfc severity subcategory"
)
SECURITY_INCIDENT = (
    "affected_user alert_id alert_rule alert_sensor assigned_vendor attack_vector business_criticality caller category"
    " change_request close_code dest_ip external_url incident malware_hash malware_url opened_for"
    " parent_security_incident problem risk_score risk_score_override secure_notes security_tags severity source_ip"
    " special_access_write subcategory substate vendor_reference"
)
CI = "name sys_class_name ip_address fqdn serial_number object_id operational_status owned_by support_group company"

JOURNALS = {"comments": "Additional comments", "work_notes": "Work notes"}

REFERENCES = {
    "affected_user": "sys_user",
    "assigned_to": "sys_user",
    "assignment_group": "sys_user_group",
    "business_service": "cmdb_ci",
    "caller": "sys_user",
    "caller_id": "sys_user",
    "closed_by": "sys_user",
    "cmdb_ci": "cmdb_ci",
    "incident": "incident",
    "manager": "sys_user",
    "opened_by": "sys_user",
    "opened_for": "sys_user",
    "owned_by": "sys_user",
    "parent_incident": "incident",
    "parent_security_incident": "sn_si_incident",
    "reopened_by": "sys_user",
    "resolved_by": "sys_user",
    "support_group": "sys_user_group",
}

# [KIBANA] sys_dictionary samples; 100 for the correlation columns is documented. Longer values are cut [UNVERIFIED].
LENGTHS = {
    "short_description": 160,
    "description": 4000,
    "close_notes": 4000,
    "correlation_id": 100,
    "correlation_display": 100,
}

# Priority look-up: (impact, urgency) -> priority [OFFICIAL def-prio-lookup-rules.md].
PRIORITY = {
    ("1", "1"): "1",
    ("1", "2"): "2",
    ("1", "3"): "3",
    ("2", "1"): "2",
    ("2", "2"): "3",
    ("2", "3"): "4",
    ("3", "1"): "3",
    ("3", "2"): "4",
    ("3", "3"): "5",
}

LEVELS = {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"}
TASK_CHOICES = {
    "impact": LEVELS,
    "urgency": LEVELS,
    "severity": LEVELS,
    "priority": {"1": "1 - Critical", "2": "2 - High", "3": "3 - Moderate", "4": "4 - Low", "5": "5 - Planning"},
}
# [OFFICIAL c_IncidentManagementStateModel.md] labels, [CLIENT] values.
INCIDENT_STATES = {"1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}
# [CLIENT] values; 20 and 100 are [UNVERIFIED] values of [OFFICIAL] labels.
SECURITY_STATES = {
    "10": "Draft",
    "16": "Analysis",
    "18": "Contain",
    "19": "Eradicate",
    "20": "Recover",
    "100": "Review",
    "3": "Closed",
    "7": "Cancelled",
}
# Current base choices [CLIENT]; a value outside them counts as missing [OBSERVED].
INCIDENT_CLOSE_CODES = (
    "Duplicate",
    "Known error",
    "Resolved by caller",
    "Resolved by change",
    "Resolved by problem",
    "Solution provided",
    "Workaround provided",
    "User error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    name: str
    label: str
    columns: frozenset[str]
    display: str  # the column that names a row: shown for a reference to it
    parent: str | None = None  # rows of this table are rows of the parent too
    number_prefix: str = ""
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    ended_states: frozenset[str] = frozenset()  # `active` is false in these
    close_policy_states: frozenset[str] = frozenset()  # close code and notes are mandatory in these

    @property
    def is_task(self) -> bool:
        return bool(self.number_prefix)

    def reference(self, column: str) -> str | None:
        return REFERENCES.get(column) if column in self.columns else None


def _columns(*groups: str) -> frozenset[str]:
    return frozenset(column for group in (SYSTEM, *groups) for column in group.split())


TASK_DEFAULTS = {
    "active": "true",
    "approval": "not requested",
    "escalation": "0",
    "knowledge": "false",
    "made_sla": "true",
    "reassignment_count": "0",
    "sys_domain": "global",
    "sys_domain_path": "/",
    "upon_approval": "proceed",
    "upon_reject": "cancel",
}

TABLES = {
    table.name: table
    for table in (
        Table(
            name="incident",
            label="Incident",
            columns=_columns(TASK, INCIDENT),
            display="number",
            number_prefix="INC",
            choices={**TASK_CHOICES, "state": INCIDENT_STATES, "incident_state": INCIDENT_STATES},
            defaults={
                **TASK_DEFAULTS,
                "state": "1",
                "impact": "3",
                "urgency": "3",
                "severity": "3",
                "category": "inquiry",
                "notify": "1",
                "child_incidents": "0",
                "reopen_count": "0",
            },
            ended_states=frozenset({"7", "8"}),
            close_policy_states=frozenset({"6", "7"}),
        ),
        Table(
            name="sn_si_incident",
            label="Security incident",
            columns=_columns(TASK, SECURITY_INCIDENT),
            display="number",
            number_prefix="SIR",
            choices={**TASK_CHOICES, "state": SECURITY_STATES},
            defaults={
                **TASK_DEFAULTS,
                "state": "10",
                "impact": "3",
                "urgency": "3",
                "priority": "4",  # [UNVERIFIED]
                "business_criticality": "3",  # [OFFICIAL t_ManuallyCreateSecurityIncident.md]
                "risk_score_override": "false",
            },
            ended_states=frozenset({"3", "7"}),
            close_policy_states=frozenset({"3"}),
        ),
        Table(
            name="sys_user",
            label="User",
            columns=_columns("user_name name first_name last_name email title active manager department company"),
            display="name",
            defaults={"active": "true"},
        ),
        Table(
            name="sys_user_group",
            label="Group",
            columns=_columns("name description email active manager parent type"),
            display="name",
            defaults={"active": "true"},
        ),
        Table(name="cmdb_ci", label="Configuration item", columns=_columns(CI), display="name"),
        Table(
            name="cmdb_ci_computer",
            label="Computer",
            columns=_columns(CI, "os os_version"),
            display="name",
            parent="cmdb_ci",
        ),
        Table(
            name="cmdb_ci_server",
            label="Server",
            columns=_columns(CI, "os os_version host_name"),
            display="name",
            parent="cmdb_ci_computer",
        ),
        Table(
            name="cmdb_ci_vm_instance",
            label="Virtual machine instance",
            columns=_columns(CI, "vm_inst_id"),
            display="name",
            parent="cmdb_ci",
        ),
        Table(
            name="sys_journal_field",
            label="Journal entry",
            columns=_columns("name element element_id value"),
            display="element",
        ),
    )
}


def root(table: str) -> str:
    """The table at the top of `table`'s family: its rows are kept together."""
    parent = TABLES[table].parent
    return table if parent is None else root(parent)


def is_a(table: str, ancestor: str) -> bool:
    if table == ancestor:
        return True
    parent = TABLES[table].parent
    return parent is not None and is_a(parent, ancestor)

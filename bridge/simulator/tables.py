"""The tables that exist here: their columns, references, choices, lengths and what an insert fills in.

Columns of `incident` follow the record printed in the documentation [OFFICIAL c_TableAPI.md]; those of `sn_si_incident`
a recorded one and what other integrations write [CLIENT].
"""

from __future__ import annotations

from bridge.simulator.administration_tables import ADMINISTRATION_TABLES
from bridge.simulator.platform_tables import PLATFORM_TABLES
from bridge.simulator.security_tables import SECURITY_TABLES
from bridge.simulator.table import Table, columns

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
            columns=columns(TASK, INCIDENT),
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
            columns=columns(TASK, SECURITY_INCIDENT),
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
            columns=columns(
                "user_name name first_name last_name email title active manager department company",
                "locked_out password_needs_reset web_service_access_only",
            ),
            display="name",
            defaults={"active": "true"},
        ),
        Table(
            name="sys_user_group",
            label="Group",
            columns=columns("name description email active manager parent type"),
            display="name",
            defaults={"active": "true"},
        ),
        Table(name="cmdb_ci", label="Configuration item", columns=columns(CI), display="name"),
        Table(
            name="cmdb_ci_computer",
            label="Computer",
            columns=columns(CI, "os os_version"),
            display="name",
            parent="cmdb_ci",
        ),
        Table(
            name="cmdb_ci_server",
            label="Server",
            columns=columns(CI, "os os_version host_name"),
            display="name",
            parent="cmdb_ci_computer",
        ),
        Table(
            name="cmdb_ci_vm_instance",
            label="Virtual machine instance",
            columns=columns(CI, "vm_inst_id"),
            display="name",
            parent="cmdb_ci",
        ),
        Table(
            name="sys_journal_field",
            label="Journal entry",
            columns=columns("name element element_id value"),
            display="element",
        ),
        *PLATFORM_TABLES,
        *ADMINISTRATION_TABLES,
        *SECURITY_TABLES,
    )
}

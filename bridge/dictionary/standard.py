"""The columns that `incident` and `sn_si_incident` have in every instance: the Schema where none is named. Pure.

Columns of `incident`: the record that ServiceNow's documentation of the Table API prints. Those of `sn_si_incident`: a
recorded one, and what other integrations write. Lengths: Kibana's samples of sys_dictionary. Choices: only those whose
values are documented or used by several clients, and that an instance has no reason to change; `category`, `close_code`
and the like are every instance's own.
"""

from __future__ import annotations

from bridge.dictionary.schema import Column, Schema

_SYSTEM = "sys_id sys_created_on sys_created_by sys_updated_on sys_updated_by sys_mod_count sys_tags"
_TASK = (
    "active activity_due additional_assignee_list approval approval_history approval_set assigned_to assignment_group"
    " business_duration business_service calendar_duration close_notes closed_at closed_by cmdb_ci comments"
    " comments_and_work_notes company contact_type contract correlation_display correlation_id delivery_plan"
    " delivery_task description due_date escalation expected_start follow_up group_list impact knowledge location"
    " made_sla number opened_at opened_by order parent priority reassignment_count route_reason service_offering"
    " short_description sla_due state sys_class_name sys_domain sys_domain_path task_effective_number time_worked"
    " universal_request upon_approval upon_reject urgency user_input watch_list work_end work_notes work_notes_list"
    " work_start"
)
_INCIDENT = (
    "business_impact business_stc calendar_stc caller_id category cause caused_by child_incidents close_code"
    " hold_reason incident_state notify origin_id origin_table parent_incident problem_id reopen_count reopened_by"
    " reopened_time resolved_at resolved_by rfc severity subcategory"
)
_SECURITY_INCIDENT = (
    "affected_user alert_id alert_rule alert_sensor assigned_vendor attack_vector business_criticality caller category"
    " change_request close_code dest_ip external_url incident malware_hash malware_url opened_for"
    " parent_security_incident problem risk_score risk_score_override secure_notes security_tags severity source_ip"
    " special_access_write subcategory substate vendor_reference"
)

# Columns that `task` has wherever it is: a dictionary without one of them is not shown whole.
_ESSENTIAL = (
    "number state short_description description assigned_to assignment_group priority impact urgency close_notes"
    " work_notes correlation_id correlation_display"
)
OF_EVERY_TASK = frozenset(_ESSENTIAL.split())

_THREE = frozenset("123")
_KNOWN = {
    "short_description": Column(type="string", max_length=160),
    "description": Column(type="string", max_length=4000),
    "close_notes": Column(type="string", max_length=4000),
    "correlation_id": Column(type="string", max_length=100),
    "correlation_display": Column(type="string", max_length=100),
    "comments": Column(type="journal_input"),
    "work_notes": Column(type="journal_input"),
    "impact": Column(type="integer", choices=_THREE),
    "urgency": Column(type="integer", choices=_THREE),
    "severity": Column(type="integer", choices=_THREE),
    "priority": Column(type="integer", choices=frozenset("12345")),
}
_STATES = {
    "incident": Column(type="integer", choices=frozenset({"1", "2", "3", "6", "7", "8"})),
    "sn_si_incident": Column(type="integer", choices=frozenset({"3", "7", "10", "16", "18", "19", "20", "100"})),
}
_OF_SECURITY_INCIDENT = {"business_criticality": Column(type="integer", choices=_THREE)}


def _table(name: str, columns: str, known: dict[str, Column]) -> dict[str, Column]:
    names = f"{_SYSTEM} {_TASK} {columns}".split()
    return {column: Column(type="string") for column in names} | _KNOWN | known | {"state": _STATES[name]}


STANDARD = Schema(
    tables={
        "incident": _table("incident", _INCIDENT, {}),
        "sn_si_incident": _table("sn_si_incident", _SECURITY_INCIDENT, _OF_SECURITY_INCIDENT),
    },
    of_instance=False,
)

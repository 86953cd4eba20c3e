"""The simulator's Table API, without a socket."""

from __future__ import annotations

import re
from typing import Any

import pytest
from simulated import Caller, Clock, refusal, result

from bridge.simulator.app import create_app
from bridge.simulator.faults import APPLIED, Fault, FaultKind
from bridge.simulator.seed import fixed_id
from bridge.simulator.state import Simulator
from bridge.simulator.switches import UnknownField

INCIDENT = "/api/now/table/incident"
SECURITY = "/api/now/table/sn_si_incident"
CLOSING = {"state": "7", "close_code": "Resolved by caller", "close_notes": "over"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> Simulator:
    return Simulator(clock=clock, accounts={"bridge": "secret"})


@pytest.fixture
def outages() -> list[float]:
    return []


@pytest.fixture
def call(simulator: Simulator, outages: list[float]) -> Caller:
    return Caller(create_app(simulator, go_down=outages.append).test_client())


# Create


def test_a_create_answers_201_with_its_location(call: Caller) -> None:
    answer = call("POST", INCIDENT, {"short_description": "x"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"http://localhost{INCIDENT}/{result(answer)['sys_id']}"


def test_numbers_count_up_per_table(call: Caller) -> None:
    rows = [call.created(), call.created(), call.created(SECURITY)]
    assert [row["number"] for row in rows] == ["INC0010001", "INC0010002", "SIR0010001"]


def test_a_new_record_has_its_first_state_and_stamps(call: Caller) -> None:
    row = call.created()
    stamps = {name: row[name] for name in ("sys_created_on", "sys_updated_on", "opened_at")}
    assert set(stamps.values()) == {"2026-03-01 08:00:00"}
    assert (row["state"], row["incident_state"], row["active"], row["sys_mod_count"]) == ("1", "1", "true", "0")
    assert (row["sys_created_by"], call.created(SECURITY)["state"]) == ("bridge", "10")


def test_nothing_makes_a_correlation_id_unique(call: Caller, simulator: Simulator) -> None:
    call.created(correlation_id="a")
    call.created(correlation_id="a")
    assert len(simulator.records("incident")) == 2


def test_an_insert_may_choose_its_sys_id(call: Caller) -> None:
    assert call.created(sys_id="ab" * 16)["sys_id"] == "ab" * 16


@pytest.mark.parametrize(("impact", "urgency", "priority"), [("1", "1", "1"), ("1", "3", "3"), ("3", "3", "5")])
def test_priority_follows_impact_and_urgency(call: Caller, impact: str, urgency: str, priority: str) -> None:
    assert call.created(impact=impact, urgency=urgency, priority="2")["priority"] == priority


def test_a_security_incident_keeps_the_priority_that_is_written(call: Caller) -> None:
    assert call.created(SECURITY, priority="1")["priority"] == "1"


@pytest.mark.parametrize(("value", "stored"), [(2, "2"), (True, "true"), (None, ""), ({"a": 1}, '{"a":1}')])
def test_values_are_stored_as_text(call: Caller, value: Any, stored: str) -> None:
    assert call.created(description=value)["description"] == stored


def test_an_unknown_column_is_ignored_and_noted(call: Caller, simulator: Simulator) -> None:
    assert "u_nope" not in call.created(u_nope="x")
    assert [(v.code, v.detail) for v in simulator.violations] == [("unknown_column", "u_nope")]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sys_created_on": "x"}, "read_only_column"),
        ({"impact": 2}, "not_text"),
        ({"correlation_id": "x" * 101}, "too_long"),
        ({"work_notes": "[code]<b>"}, "code_in_journal"),
    ],
)
def test_a_write_that_leans_on_nothing_promised_is_noted(
    call: Caller, simulator: Simulator, fields: dict[str, Any], code: str
) -> None:
    call.created(**fields)
    assert [violation.code for violation in simulator.violations] == [code]


# References


def test_a_reference_is_found_by_its_display_value(call: Caller) -> None:
    group = call.created(assignment_group="soc l2")["assignment_group"]
    sys_id = fixed_id("sys_user_group", "SOC L2")
    assert group == {"link": f"http://localhost/api/now/table/sys_user_group/{sys_id}", "value": sys_id}


def test_a_reference_that_nothing_matches_is_left_empty(call: Caller) -> None:
    assert call.created(assignment_group="Nobody")["assignment_group"] == ""


def test_a_reference_that_two_rows_match_is_left_empty(call: Caller, simulator: Simulator) -> None:
    simulator.person_creates("sys_user_group", name="SOC L2")
    assert call.created(assignment_group="SOC L2")["assignment_group"] == ""


def test_a_sys_id_in_a_reference_is_kept_unseen(call: Caller) -> None:
    assert call.created(cmdb_ci="0" * 32)["cmdb_ci"]["value"] == "0" * 32


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ("sysparm_exclude_reference_link=true", "ID"),
        ("sysparm_display_value=true", {"display_value": "web-01", "link": "LINK"}),
        ("sysparm_display_value=true&sysparm_exclude_reference_link=true", "web-01"),
        ("sysparm_display_value=all", {"display_value": "web-01", "value": "ID", "link": "LINK"}),
        ("sysparm_display_value=all&sysparm_exclude_reference_link=true", {"display_value": "web-01", "value": "ID"}),
    ],
)
def test_a_reference_is_shown(call: Caller, parameters: str, shown: Any) -> None:
    sys_id = fixed_id("cmdb_ci_server", "web-01")
    row = call.created(cmdb_ci="web-01")
    value = result(call("GET", f"{INCIDENT}/{row['sys_id']}?sysparm_fields=cmdb_ci&{parameters}"))["cmdb_ci"]
    words = {"ID": sys_id, "LINK": f"http://localhost/api/now/table/cmdb_ci/{sys_id}"}
    expected = words.get(shown, shown) if isinstance(shown, str) else {k: words.get(v, v) for k, v in shown.items()}
    assert value == expected


def test_choices_are_shown_by_label(call: Caller) -> None:
    row = call.created(impact="1", urgency="1")
    answer = call("GET", f"{INCIDENT}/{row['sys_id']}?sysparm_display_value=true&sysparm_fields=state,priority")
    assert result(answer) == {"state": "New", "priority": "1 - Critical"}


def test_fields_may_walk_through_a_reference_and_unknown_ones_are_left_out(call: Caller) -> None:
    row = call.created(cmdb_ci="web-01")
    answer = call("GET", f"{INCIDENT}/{row['sys_id']}?sysparm_fields=cmdb_ci.ip_address,nope,number")
    assert result(answer) == {"cmdb_ci.ip_address": "192.0.2.11", "number": "INC0010001"}


# Update and delete


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_an_update_changes_what_it_names(call: Caller, clock: Clock, method: str) -> None:
    row = call.created(short_description="a", description="b")
    clock.advance(60)
    after = result(call(method, f"{INCIDENT}/{row['sys_id']}", {"short_description": "c"}))
    assert (after["short_description"], after["description"]) == ("c", "b")
    assert (after["sys_mod_count"], after["sys_updated_on"]) == ("1", "2026-03-01 08:01:00")
    assert after["sys_created_on"] == "2026-03-01 08:00:00"


def test_an_update_that_changes_nothing_leaves_no_trace(call: Caller) -> None:
    row = call.created(short_description="a")
    assert result(call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"short_description": "a"}))["sys_mod_count"] == "0"


def test_an_empty_text_clears_a_field(call: Caller) -> None:
    row = call.created(description="b")
    assert result(call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"description": ""}))["description"] == ""


def test_a_delete_answers_204_with_no_body(call: Caller) -> None:
    row = call.created(work_notes="x")
    answer = call("DELETE", f"{INCIDENT}/{row['sys_id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert call("GET", f"{INCIDENT}/{row['sys_id']}").status_code == 404


# Closing


@pytest.mark.parametrize("state", ["6", "7"])
def test_an_incident_is_not_closed_without_code_and_notes(call: Caller, state: str) -> None:
    row = call.created()
    detail = "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code, Close notes"
    assert refusal(call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"state": state})) == (403, "Operation Failed", detail)
    assert result(call("GET", f"{INCIDENT}/{row['sys_id']}"))["state"] == "1"


def test_a_close_code_that_is_no_choice_counts_as_missing(call: Caller) -> None:
    row = call.created()
    answer = call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"state": "6", "close_code": "Gone", "close_notes": "x"})
    assert refusal(answer)[2] == "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code"


def test_a_security_incident_is_not_closed_without_code_and_notes(call: Caller) -> None:
    row = call.created(SECURITY)
    assert refusal(call("PATCH", f"{SECURITY}/{row['sys_id']}", {"state": "3"}))[:2] == (403, "Operation Failed")


@pytest.mark.parametrize(
    ("path", "fields", "active"),
    [
        (INCIDENT, CLOSING, "false"),
        (INCIDENT, CLOSING | {"state": "6"}, "true"),
        (INCIDENT, {"state": "8"}, "false"),
        (SECURITY, {"state": "3", "close_code": "-100", "close_notes": "x"}, "false"),
        (SECURITY, {"state": "7"}, "false"),
        (SECURITY, {"state": "16"}, "true"),
    ],
)
def test_active_follows_the_state(call: Caller, path: str, fields: dict[str, str], active: str) -> None:
    row = call.created(path)
    assert result(call("PATCH", f"{path}/{row['sys_id']}", fields))["active"] == active


def test_a_reopened_incident_is_active_and_counted(call: Caller) -> None:
    row = call.created()
    call("PATCH", f"{INCIDENT}/{row['sys_id']}", CLOSING)
    after = result(call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"state": "2"}))
    assert (after["active"], after["closed_at"], after["reopen_count"]) == ("true", "", "1")


# Journal


def test_a_journal_field_reads_back_empty(call: Caller) -> None:
    assert call.created(work_notes="seen")["work_notes"] == ""


def test_a_journal_is_shown_newest_first(call: Caller, clock: Clock) -> None:
    row = call.created(work_notes="one")
    clock.advance(1)
    call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"work_notes": "two", "comments": "hello"})
    shown = result(call("GET", f"{INCIDENT}/{row['sys_id']}?sysparm_display_value=all"))
    assert shown["work_notes"]["display_value"] == (
        "2026-03-01 08:00:01 - Integration bridge (Work notes)\ntwo\n\n"
        "2026-03-01 08:00:00 - Integration bridge (Work notes)\none\n\n"
    )
    assert shown["work_notes"]["value"] == ""
    assert "(Additional comments)\nhello" in shown["comments_and_work_notes"]["display_value"]


def test_the_same_note_twice_is_two_entries(call: Caller) -> None:
    row = call.created()
    for _ in range(2):
        after = result(call("PATCH", f"{INCIDENT}/{row['sys_id']}", {"work_notes": "again"}))
    query = f"element_id={row['sys_id']}^element=comments^ORelement=work_notes"
    entries = result(call("GET", f"/api/now/table/sys_journal_field?sysparm_query={query}"))
    assert [entry["value"] for entry in entries] == ["again", "again"]
    assert after["sys_mod_count"] == "2"


# Lists


def test_a_list_is_filtered_ordered_and_cut(call: Caller, clock: Clock) -> None:
    for name in "abc":
        call.created(short_description=name, correlation_id="x")
        clock.advance(1)
    call.created(short_description="d", correlation_id="y")
    query = "ORDERBYDESCsys_created_on^correlation_id=X&sysparm_limit=2&sysparm_fields=short_description"
    answer = call("GET", f"{INCIDENT}?sysparm_query={query}")
    assert result(answer) == [{"short_description": "c"}, {"short_description": "b"}]
    assert answer.headers["X-Total-Count"] == "3"


def test_the_link_header_names_the_pages_around(call: Caller) -> None:
    for _ in range(5):
        call.created()
    answer = call("GET", f"{INCIDENT}?sysparm_limit=2&sysparm_offset=2")
    links = re.findall(r'sysparm_offset=(\d+)[^>]*>;rel="(\w+)"', answer.headers["Link"])
    offsets = {word: offset for offset, word in links}
    assert offsets == {"first": "0", "next": "4", "prev": "0", "last": "4"}


def test_the_link_header_can_be_suppressed(call: Caller) -> None:
    assert "Link" not in call("GET", f"{INCIDENT}?sysparm_suppress_pagination_header=true").headers


@pytest.mark.parametrize(("version", "status"), [("v1/", 404), ("v2/", 200), ("", 200)])
def test_an_empty_list_depends_on_the_version(call: Caller, version: str, status: int) -> None:
    assert call("GET", f"/api/now/{version}table/incident").status_code == status


def test_pairs_filter_when_there_is_no_query(call: Caller) -> None:
    call.created(correlation_id="a")
    call.created(correlation_id="b")
    assert [row["correlation_id"] for row in result(call("GET", f"{INCIDENT}?correlation_id=b"))] == ["b"]


def test_a_query_may_walk_through_a_reference(call: Caller) -> None:
    call.created(assignment_group="SOC L2")
    call.created(assignment_group="Payments")
    assert len(result(call("GET", f"{INCIDENT}?sysparm_query=assignment_group.name=Payments"))) == 1


def test_rows_of_a_table_that_extends_another_are_rows_of_both(call: Caller) -> None:
    rows = result(call("GET", "/api/now/table/cmdb_ci?sysparm_query=name=web-01&sysparm_fields=sys_class_name"))
    assert rows == [{"sys_class_name": "cmdb_ci_server"}]
    assert result(call("GET", "/api/now/table/cmdb_ci_vm_instance?sysparm_query=name=web-01")) == []


@pytest.mark.parametrize(
    ("switch", "status", "count"),
    [(UnknownField.IGNORE, 200, 1), (UnknownField.FORBIDDEN, 403, 0), (UnknownField.NO_ROWS, 200, 0)],
)
def test_an_unknown_field_in_a_query(
    call: Caller, simulator: Simulator, switch: UnknownField, status: int, count: int
) -> None:
    call.created()
    simulator.switches.unknown_query_field = switch
    answer = call("GET", f"{INCIDENT}?sysparm_query=nope=1")
    assert answer.status_code == status
    assert len((answer.json or {}).get("result", [])) == count
    assert [violation.code for violation in simulator.violations] == ["invalid_query"]


# Refusals


def test_no_credentials_are_401(call: Caller) -> None:
    answer = call("GET", INCIDENT, auth=None)
    assert refusal(answer) == (401, "User Not Authenticated", "Required to provide Auth information")


@pytest.mark.parametrize("header", ["Basic", "Basic !!", "Basic YnJpZGdl", "Bearer YnJpZGdlOnNlY3JldA=="])
def test_unusable_credentials_are_401(call: Caller, header: str) -> None:
    assert call("GET", INCIDENT, auth=None, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("auth", [("bridge", "wrong"), ("nobody", "secret")])
def test_wrong_credentials_are_401(call: Caller, auth: tuple[str, str]) -> None:
    assert call("GET", INCIDENT, auth=auth).status_code == 401


def test_an_unknown_table_is_400(call: Caller) -> None:
    assert refusal(call("GET", "/api/now/table/nope")) == (400, "Invalid table nope", None)


def test_security_incidents_may_be_missing(call: Caller, simulator: Simulator) -> None:
    simulator.security_incidents = False
    assert refusal(call("POST", SECURITY, {})) == (400, "Invalid table sn_si_incident", None)


def test_an_unknown_uri_is_400(call: Caller) -> None:
    assert refusal(call("GET", "/api/now/nope")) == (400, "Requested URI does not represent any resource", None)


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"state": "2"}), ("DELETE", None)])
def test_a_missing_record_is_404(call: Caller, method: str, body: Any) -> None:
    detail = "Record doesn't exist or ACL restricts the record retrieval"
    assert refusal(call(method, f"{INCIDENT}/{'0' * 32}", body)) == (404, "No Record found", detail)


@pytest.mark.parametrize(
    ("method", "header"),
    [
        *[(method, header) for method in ("POST", "PATCH") for header in ("Accept", "Content-Type")],
        ("DELETE", "Accept"),  # without the other: see the switch bare_delete
    ],
)
def test_a_write_without_a_header_is_400_and_noted(
    call: Caller, simulator: Simulator, method: str, header: str
) -> None:
    path = INCIDENT if method == "POST" else f"{INCIDENT}/{call.created()['sys_id']}"
    assert call(method, path, {}, headers={header: None}).status_code == 400
    assert [(v.code, v.detail) for v in simulator.violations] == [("missing_header", header)]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Accept": "text/html"}, 406, "not_acceptable"),
        ({"Content-Type": "text/plain"}, 415, "unsupported_media"),
    ],
)
def test_another_media_type_is_refused_and_noted(
    call: Caller, simulator: Simulator, headers: dict[str, str], status: int, code: str
) -> None:
    assert call("POST", INCIDENT, {}, headers=headers).status_code == status
    assert [violation.code for violation in simulator.violations] == [code]


@pytest.mark.parametrize("data", [b"", b"{", b'"x"', b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_400(call: Caller, data: bytes) -> None:
    assert call("POST", INCIDENT, data=data).status_code == 400


def test_a_body_above_ten_megabytes_is_refused(call: Caller) -> None:
    answer = call("POST", INCIDENT, data=b"x" * (10 * 1024 * 1024 + 1))
    detail = "Rejected large REST payload with content-length = 10485761 bytes. Max allowed: 10485760 bytes."
    assert refusal(answer) == (413, "Exception while reading request", detail)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_table_itself_is_not_written(call: Caller, method: str) -> None:
    assert call(method, INCIDENT, {}).status_code == 405


# Faults


@pytest.mark.parametrize(
    ("kind", "status", "applied"),
    [
        (FaultKind.RATE_LIMIT, 429, False),
        (FaultKind.SERVER_ERROR, 503, False),
        (FaultKind.CANCELLED, 500, True),
        (FaultKind.HIBERNATING, 200, False),
        (FaultKind.LOGIN, 302, False),
        (FaultKind.LOGIN_PAGE, 200, False),
        (FaultKind.PROXY_PAGE, 200, False),
        (FaultKind.NO_RESULT, 201, False),
        (FaultKind.BUSINESS_RULE, 403, False),
        (FaultKind.UNAUTHENTICATED, 401, False),
        (FaultKind.ACL, 403, False),
        (FaultKind.DROPPED, 202, False),
        (FaultKind.TRUNCATED, 201, True),
    ],
)
def test_a_fault_answers_and_applies(
    call: Caller, simulator: Simulator, kind: FaultKind, status: int, *, applied: bool
) -> None:
    simulator.faults.add(Fault(kind=kind))
    assert call("POST", INCIDENT, {}).status_code == status
    assert bool(simulator.records("incident")) == applied


@pytest.mark.parametrize(
    ("kind", "applied"),
    [
        (FaultKind.CLOSED, False),
        (FaultKind.RESET_BEFORE_COMMIT, False),
        (FaultKind.RESET_AFTER_COMMIT, True),
        (FaultKind.NO_ANSWER, True),
    ],
)
def test_a_lost_answer_was_applied_or_not(
    call: Caller, simulator: Simulator, kind: FaultKind, *, applied: bool
) -> None:
    simulator.faults.add(Fault(kind=kind))
    call("POST", INCIDENT, {})
    assert bool(simulator.records("incident")) == applied
    assert simulator.calls == [("POST", INCIDENT, 0)]


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("kind", list(APPLIED))
def test_a_fault_may_say_whether_it_is_applied(
    call: Caller, simulator: Simulator, kind: FaultKind, *, applied: bool
) -> None:
    simulator.faults.add(Fault(kind=kind, applied=applied))
    call("POST", INCIDENT, {})
    assert bool(simulator.records("incident")) == applied


def test_a_refusal_is_in_the_words_it_is_given(call: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind=FaultKind.REFUSED, status=404, message="Not here"))
    answer = call("POST", INCIDENT, {})
    assert answer.status_code == 404
    assert answer.json == {"error": {"message": "Not here", "detail": None}, "status": "failure"}


def test_a_late_commit_is_applied_when_its_time_has_come(call: Caller, simulator: Simulator, clock: Clock) -> None:
    simulator.faults.add(Fault(kind=FaultKind.LATE_COMMIT, seconds=30))
    call("POST", INCIDENT, {"correlation_id": "a"})
    clock.advance(29)
    assert result(call("GET", INCIDENT)) == []
    clock.advance(31)
    assert [row["sys_created_on"] for row in result(call("GET", INCIDENT))] == ["2026-03-01 08:00:30"]


def test_retry_after_is_told(call: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind=FaultKind.RATE_LIMIT, seconds=17))
    assert call("GET", INCIDENT).headers["Retry-After"] == "17"


def test_a_fault_strikes_after_so_many_and_so_often(call: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind=FaultKind.SERVER_ERROR, after=1, times=2))
    assert [call("GET", INCIDENT).status_code for _ in range(4)] == [200, 503, 503, 200]


def test_a_fault_strikes_only_what_it_names(call: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind=FaultKind.SERVER_ERROR, methods=frozenset({"POST"}), table="incident", times=None))
    calls = [("GET", INCIDENT), ("POST", SECURITY), ("POST", INCIDENT)]
    assert [call(method, path, {}).status_code for method, path in calls] == [200, 201, 503]


# Admin routes and people


def test_faults_are_added_and_cleared_by_route(call: Caller) -> None:
    assert call("POST", "/simulator/faults", {"kind": "server_error", "times": "always"}).status_code == 201
    assert call("GET", INCIDENT).status_code == 503
    assert call("DELETE", "/simulator/faults").status_code == 204
    assert call("GET", INCIDENT).status_code == 200


def test_a_wrong_fault_is_refused_by_name(call: Caller) -> None:
    answer = call("POST", "/simulator/faults", {"kind": "nope"})
    assert answer.status_code == 400
    assert "latency" in answer.text


def test_a_form_post_of_another_site_is_refused(call: Caller) -> None:
    answer = call("POST", "/simulator/faults", {"kind": "closed"}, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400


def test_an_outage_is_handed_to_the_server(call: Caller, outages: list[float]) -> None:
    assert call("POST", "/simulator/down", {"seconds": 2}).status_code == 202
    assert outages == [2.0]


def test_a_person_edits_by_route(call: Caller) -> None:
    row = call.created()
    body = {"user": "mia", "fields": {"state": "2", "work_notes": "mine"}}
    after = result(call("POST", f"/simulator/records/incident/{row['sys_id']}", body))
    assert (after["state"], after["sys_updated_by"], after["sys_created_by"]) == ("2", "mia", "bridge")


def test_a_person_is_held_to_the_data_policy_too(call: Caller) -> None:
    row = call.created()
    answer = call("POST", f"/simulator/records/incident/{row['sys_id']}", {"fields": {"state": "7"}})
    assert answer.status_code == 403


def test_the_state_tells_counts_faults_and_violations(call: Caller, simulator: Simulator) -> None:
    call.created(u_nope="x")
    simulator.faults.add(Fault(kind=FaultKind.CLOSED))
    state = call("GET", "/simulator/state").json
    assert state is not None
    assert (state["records"]["incident"], state["calls"], state["faults"][0]["kind"]) == (1, 1, "closed")
    assert state["violations"][0]["code"] == "unknown_column"


def test_a_person_deletes(call: Caller, simulator: Simulator) -> None:
    row = call.created()
    simulator.person_deletes("incident", row["sys_id"])
    assert simulator.records("incident") == []


# The page


def test_the_page_escapes_what_alerts_say(call: Caller) -> None:
    row = call.created(short_description="<script>x</script>", work_notes="<img src=x>")
    for path in ("/", f"/records/incident/{row['sys_id']}"):
        page = call("GET", path).text
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "<img" not in page


def test_the_page_of_a_record_shows_its_observables_and_files(call: Caller) -> None:
    sys_id = call.created(SECURITY)["sys_id"]
    path = f"/api/x_elas2_sir_int/elastic_api/incident/{sys_id}/observables"
    call("POST", path, {"value": "<b>1.1.1.1", "type": "ipv4-addr"})
    query = f"table_name=sn_si_incident&table_sys_id={sys_id}&file_name=alert.json"
    call("POST", f"/api/now/attachment/file?{query}", {"a": 1})
    page = call("GET", f"/records/sn_si_incident/{sys_id}").text
    assert "<code>&lt;b&gt;1.1.1.1</code> (IP address (V4))" in page
    assert "alert.json (application/json, 8 bytes)" in page


def test_the_page_lists_newest_first(call: Caller, clock: Clock) -> None:
    call.created()
    clock.advance(1)
    call.created(SECURITY)
    page = call("GET", "/").text
    assert page.index("SIR0010001") < page.index("INC0010001")


def test_the_page_lets_no_script_run(call: Caller) -> None:
    policy = call("GET", "/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("link", ["incident.do?sys_id={}", "incident.do%3Fsys_id%3D{}", "/incident.do?sys_id={}"])
def test_the_link_that_people_are_sent_leads_to_the_record(call: Caller, link: str) -> None:
    row = call.created()
    answer = call("GET", f"/nav_to.do?uri={link.format(row['sys_id'])}")
    assert answer.headers["Location"] == f"/records/incident/{row['sys_id']}"


def test_no_page_for_what_does_not_exist(call: Caller) -> None:
    assert call("GET", f"/records/incident/{'0' * 32}").status_code == 404
    assert call("GET", "/nav_to.do?uri=https://example.com").status_code == 404

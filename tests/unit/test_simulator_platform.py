"""The simulated instance's attachments, batches, aggregates, schema, rate limits and switches."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from simulated import INCIDENT, SECURITY, World, refusal, result

ATTACHMENT = "/api/now/attachment"


@pytest.fixture
def world() -> World:
    return World()


# Attachments


def attached(world: World, data: bytes = b"one", name: str = "a.txt", **headers: str | None) -> Any:
    sys_id = world.call.created()["sys_id"]
    path = f"{ATTACHMENT}/file?table_name=incident&table_sys_id={sys_id}&file_name={name}"
    return world.call("POST", path, data=data, headers={"Content-Type": "text/plain", **headers})


def test_a_file_is_attached_and_read(world: World) -> None:
    answer = attached(world)
    row = result(answer)
    assert answer.status_code == 201
    assert (row["file_name"], row["size_bytes"], row["content_type"]) == ("a.txt", "3", "text/plain")
    assert row["download_link"] == f"http://localhost{ATTACHMENT}/{row['sys_id']}/file"
    file = world.call("GET", f"{ATTACHMENT}/{row['sys_id']}/file")
    assert (file.data, file.mimetype) == (b"one", "text/plain")
    assert json.loads(file.headers["X-Attachment-Metadata"])["file_name"] == "a.txt"


def test_attachments_of_a_record_are_listed(world: World) -> None:
    row = result(attached(world))
    attached(world)
    listed = world.call("GET", f"/api/now/v1/attachment?sysparm_query=table_sys_id={row['table_sys_id']}")
    assert [(item["sys_id"], item["download_link"]) for item in result(listed)] == [
        (row["sys_id"], row["download_link"])
    ]
    assert result(world.call("GET", "/api/now/v1/attachment?sysparm_query=file_name=nope")) == []


def test_a_form_is_taken_too(world: World) -> None:
    sys_id = world.call.created()["sys_id"]
    data = {"table_name": "incident", "table_sys_id": sys_id, "file": ("report #1.txt", b"two", "text/plain")}
    form = {"table_name": "incident", "table_sys_id": sys_id}
    boundary = "xyz"
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.items()
    )
    parts += f'--{boundary}\r\nContent-Disposition: form-data; name="uploadFile"; filename="{data["file"][0]}"\r\n'
    body = (parts + "Content-Type: text/plain\r\n\r\ntwo\r\n" + f"--{boundary}--\r\n").encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    row = result(world.call("POST", f"{ATTACHMENT}/upload", data=body, headers=headers))
    assert (row["file_name"], world.simulator.files[row["sys_id"]]) == ("report #1.txt", b"two")


def test_a_deleted_attachment_is_gone(world: World) -> None:
    sys_id = result(attached(world))["sys_id"]
    assert world.call("DELETE", f"{ATTACHMENT}/{sys_id}").status_code == 204
    assert world.call("GET", f"{ATTACHMENT}/{sys_id}/file").status_code == 404


def test_an_attachment_without_its_parts_is_refused(world: World) -> None:
    headers = {"Content-Type": "text/plain"}
    assert world.call("POST", f"{ATTACHMENT}/file?table_name=incident", data=b"", headers=headers).status_code == 400
    path = f"{ATTACHMENT}/file?table_name=incident&table_sys_id={'0' * 32}&file_name=a"
    assert world.call("POST", path, data=b"", headers=headers).status_code == 404
    assert attached(world, Accept=None).status_code == 400
    assert world.call("GET", "/api/now/v2/attachment").status_code == 400


def test_an_attachment_of_a_hidden_record_is_hidden(world: World) -> None:
    sys_id = result(attached(world))["sys_id"]
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["nothing"]}}})
    assert world.call("GET", f"{ATTACHMENT}/{sys_id}", auth=("poor", "x")).status_code == 404


# Batches


def batch(world: World, *items: dict[str, Any], number: Any = 1) -> Any:
    answer = world.call("POST", "/api/now/v1/batch", {"batch_request_id": number, "rest_requests": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json


def item(name: str, method: str, url: str, body: Any = None) -> dict[str, Any]:
    headers = [{"name": "Content-Type", "value": "application/json"}, {"name": "Accept", "value": "application/json"}]
    given: dict[str, Any] = {"id": name, "method": method, "url": url, "headers": headers}
    if body is not None:
        given["body"] = b64encode(json.dumps(body).encode()).decode()
    return given


def test_a_batch_answers_each_by_its_id(world: World) -> None:
    answer = batch(world, item("a", "POST", INCIDENT, {"impact": "1"}), item("b", "GET", f"{INCIDENT}/{'0' * 32}"))
    served = {each["id"]: each for each in answer["serviced_requests"]}
    assert [each["id"] for each in answer["serviced_requests"]] == ["b", "a"]
    assert (answer["batch_request_id"], answer["unserviced_requests"]) == ("1", [])
    assert (served["a"]["status_code"], served["a"]["status_text"]) == (201, "Created")
    assert json.loads(b64decode(served["a"]["body"]))["result"]["impact"] == "1"
    assert served["b"]["status_code"] == 404


def test_a_batch_decodes_its_queries(world: World) -> None:
    world.call.created(correlation_id="a b")
    answer = batch(world, item("a", "GET", f"{INCIDENT}?sysparm_query=correlation_id%3Da%20b&sysparm_fields=number"))
    (served,) = answer["serviced_requests"]
    assert json.loads(b64decode(served["body"])) == {"result": [{"number": "INC0010001"}]}
    assert {"name": "X-Total-Count", "value": "1"} in served["headers"]


def test_headers_of_an_item_may_be_left_out(world: World) -> None:
    answer = batch(world, item("a", "GET", INCIDENT) | {"exclude_response_headers": True})
    assert answer["serviced_requests"][0]["headers"] == []


def test_what_time_did_not_suffice_for_is_named(world: World) -> None:
    world.simulator.unserviced = 1
    answer = batch(world, item("a", "GET", INCIDENT), item("b", "GET", INCIDENT), number="x")
    assert ([each["id"] for each in answer["serviced_requests"]], answer["unserviced_requests"]) == (["a"], ["b"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a"},
        item("a", "POST", INCIDENT) | {"body": "!!"},
        item("a", "POST", "/api/now/v1/batch", {}),
        item("a", "GET", INCIDENT) | {"headers": "x"},
    ],
)
def test_an_item_that_is_no_call_is_refused_alone(world: World, wrong: dict[str, Any]) -> None:
    answer = batch(world, wrong, item("b", "GET", INCIDENT))
    assert {each["id"]: each["status_code"] for each in answer["serviced_requests"]} == {"a": 400, "b": 200}


def test_another_shape_of_a_batch_is_refused(world: World) -> None:
    assert world.call("POST", "/api/now/v1/batch", {"rest_requests": 1}).status_code == 400
    assert world.call("GET", "/api/now/v1/batch").status_code == 405


# Aggregates


def test_rows_are_counted(world: World) -> None:
    for impact in "113":
        world.call.created(impact=impact)
    answer = world.call("GET", "/api/now/stats/incident?sysparm_count=true&sysparm_query=impact=1")
    assert result(answer) == {"stats": {"count": "2"}}
    assert world.violations() == []


def test_groups_have_figures_of_their_own(world: World) -> None:
    for impact, urgency in ("11", "13", "33"):
        world.call.created(impact=impact, urgency=urgency)
    path = "/api/now/stats/incident?sysparm_group_by=impact&sysparm_count=true&sysparm_avg_fields=urgency"
    groups = result(world.call("GET", f"{path}&sysparm_max_fields=urgency"))
    assert groups == [
        {
            "stats": {"count": "2", "avg": {"urgency": "2.0000"}, "max": {"urgency": "3"}},
            "groupby_fields": [{"field": "impact", "value": "1"}],
        },
        {
            "stats": {"count": "1", "avg": {"urgency": "3.0000"}, "max": {"urgency": "3"}},
            "groupby_fields": [{"field": "impact", "value": "3"}],
        },
    ]


def test_figures_of_an_unreadable_table_are_refused(world: World) -> None:
    world.apply(access={"users": {"poor": {"password": "x", "roles": ["nothing"]}}})
    answer = world.call("GET", "/api/now/stats/incident?sysparm_count=true", auth=("poor", "x"))
    assert refusal(answer) == (
        403,
        "Insufficient rights to query records",
        "No permission to read table 'incident'",
    )


# Schema


def test_columns_are_told_with_their_lengths(world: World) -> None:
    query = "name=task^ORname=incident^internal_type=string&sysparm_fields=element,max_length,mandatory"
    rows = result(world.call("GET", f"/api/now/table/sys_dictionary?sysparm_query={query}&sysparm_limit=500"))
    lengths = {row["element"]: row["max_length"] for row in rows}
    assert (lengths["short_description"], lengths["description"], lengths["correlation_id"]) == ("160", "4000", "100")
    assert "caller_id" not in lengths  # a reference is no string


def test_a_scenarios_columns_are_told_as_well(world: World) -> None:
    each = {"name": "A", "target": "incident", "fields": {"u_key": "u_bridge_key"}}
    world.apply(
        columns={"incident": ["u_bridge_key"]}, import_sets={"u_alerts": {"columns": ["u_raw"], "maps": [each]}}
    )
    query = "/api/now/table/sys_dictionary?sysparm_query=name={}&sysparm_limit=500"
    incident = {row["element"] for row in result(world.call("GET", query.format("incident")))}
    staging = {row["element"]: row["max_length"] for row in result(world.call("GET", query.format("u_alerts")))}
    assert "u_bridge_key" in incident
    assert (staging["u_correlation_id"], staging["u_description"], "u_raw" in staging, "u_key" in staging) == (
        *("100", "4000"),
        True,
        True,
    )


def test_a_staging_table_that_is_replaced_is_told_as_it_is_now(world: World) -> None:
    for name in ("u_old", "u_new"):
        world.apply(import_sets={"u_alerts": {"columns": [name], "maps": []}})
    rows = result(world.call("GET", "/api/now/table/sys_dictionary?sysparm_query=name=u_alerts^elementSTARTSWITHu_"))
    assert [row["element"] for row in rows] == ["u_new"]


def test_choices_are_told_by_value_and_label(world: World) -> None:
    query = "name=task^ORname=incident^element=close_code^ORelement=impact^language=en&sysparm_fields=element,value"
    rows = result(world.call("GET", f"/api/now/table/sys_choice?sysparm_query={query}"))
    assert {"element": "close_code", "value": "Resolved by caller"} in rows
    assert {"element": "impact", "value": "1"} in rows


@pytest.mark.parametrize(
    ("table", "query"),
    [
        ("sys_user", "user_name=fred"),
        ("sys_user_group", "name=SOC L2"),
        ("cmdb_ci", "name=web-01^ORip_address=192.0.2.99^ORfqdn=x"),
        ("sn_ti_observable_type", "value=ipv4-addr"),
    ],
)
def test_look_ups_find_one(world: World, table: str, query: str) -> None:
    assert len(result(world.call("GET", f"/api/now/table/{table}?sysparm_query={query}&sysparm_limit=2"))) == 1


def test_observables_are_written_by_the_table_api_too(world: World) -> None:
    incident = world.call.created(SECURITY)["sys_id"]
    observable = world.call.created("/api/now/table/sn_ti_observable", value="1.1.1.1", type="IP address (V4)")
    link = world.call.created(
        "/api/now/table/sn_ti_m2m_task_observable",
        task=incident,
        observable=observable["sys_id"],
        context_type="source",
    )
    assert (observable["type"]["value"], link["task"]["value"]) != ("", "")
    assert world.violations() == []


# Rate limits


def test_a_call_under_a_rule_says_so(world: World) -> None:
    world.apply(rate_limits=[{"limit": 2, "api": "table", "lag": 0}])
    headers = world.call("GET", INCIDENT).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Reset"]) == ("2", "1772355600")
    assert len(headers["X-RateLimit-Rule"]) == 32


def test_one_call_too_many_is_told_until_when(world: World) -> None:
    world.apply(rate_limits=[{"limit": 2, "api": "table", "lag": 0}])
    world.clock.advance(1800)
    answers = [world.call("GET", INCIDENT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    detail = "Rate limit of 2 requests per hour for Table API exceeded"
    assert refusal(answers[2]) == (429, "Rate limit exceeded", detail)
    assert answers[2].headers["Retry-After"] == "1800"
    world.clock.advance(1800)
    assert world.call("GET", INCIDENT).status_code == 200


def test_a_rule_bites_late(world: World) -> None:
    world.apply(rate_limits=[{"limit": 1}])
    assert [world.call("GET", INCIDENT).status_code for _ in range(3)] == [200, 200, 200]
    world.clock.advance(30)
    assert world.call("GET", INCIDENT).status_code == 429


def test_a_users_own_rule_comes_before_a_roles_and_all(world: World) -> None:
    world.apply(
        access={"users": {"own": {"password": "x", "roles": ["itil", "big"]}}},
        rate_limits=[{"limit": 1}, {"limit": 7, "role": "big"}, {"limit": 5, "role": "itil"}],
    )
    assert world.call("GET", INCIDENT, auth=("own", "x")).headers["X-RateLimit-Limit"] == "5"
    assert world.call("GET", INCIDENT).headers["X-RateLimit-Limit"] == "1"
    world.apply(rate_limits=[{"limit": 9, "user": "own"}, {"limit": 5, "role": "itil"}])
    assert world.call("GET", INCIDENT, auth=("own", "x")).headers["X-RateLimit-Limit"] == "9"


def test_a_rule_is_for_its_api_and_lists_refusals_too(world: World) -> None:
    world.apply(rate_limits=[{"limit": 5, "api": "table"}])
    assert "X-RateLimit-Limit" not in world.call("GET", "/api/now/stats/incident").headers
    assert world.call("GET", f"{INCIDENT}/{'0' * 32}").headers["X-RateLimit-Limit"] == "5"


def test_wrong_rate_limits_are_refused_by_name(world: World) -> None:
    answer = world.call("POST", "/simulator/scenario", {"rate_limits": [{"limit": -1, "api": "x", "burst": 1}]})
    assert answer.status_code == 400
    for words in ("limit must be a whole number", "api must be one of", "burst"):
        assert words in answer.text


# Switches


def test_an_unknown_path_may_be_404(world: World) -> None:
    world.apply(unknown_uri_status=404)
    assert world.call("GET", "/api/now/nope").status_code == 404


def test_an_oversized_body_may_be_400(world: World) -> None:
    world.apply(oversize_status=400)
    assert world.call("POST", INCIDENT, data=b"x" * (10 * 1024 * 1024 + 1)).status_code == 400


@pytest.mark.parametrize(("bare_delete", "status"), [("accepted", 204), ("refused", 400)])
def test_a_delete_without_a_content_type_is_noted_and_may_be_refused(
    world: World, bare_delete: str, status: int
) -> None:
    world.apply(bare_delete=bare_delete)
    path = f"{INCIDENT}/{world.call.created()['sys_id']}"
    assert world.call("DELETE", path, headers={"Content-Type": None}).status_code == status
    assert world.violations() == [("missing_header", "Content-Type")]


def test_hibernation_may_be_a_redirect(world: World) -> None:
    world.apply(hibernation="redirect", faults=[{"kind": "hibernating"}])
    answer = world.call("GET", INCIDENT)
    assert (answer.status_code, "developer.servicenow.com" in answer.headers["Location"]) == (302, True)


def test_a_wrong_switch_is_refused_by_name(world: World) -> None:
    answer = world.call("POST", "/simulator/scenario", {"jti": "sometimes", "unknown_uri_status": 500})
    assert answer.status_code == 400
    assert "jti must be one of once, required, off" in answer.text
    assert "unknown_uri_status must be 400 or 404" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [(["16", "18"], 200), (["18"], 403), (["16", "10"], 403), (["7"], 200), (["16", "16"], 200)],
)
def test_security_incidents_may_have_to_go_step_by_step(world: World, path: list[str], status: int) -> None:
    world.apply(state_order="stateful")
    row = f"{SECURITY}/{world.call.created(SECURITY)['sys_id']}"
    assert [world.call("PATCH", row, {"state": state}).status_code for state in path][-1] == status


def test_a_skipped_step_is_the_refusal_of_a_business_rule(world: World) -> None:
    world.apply(state_order="stateful")
    closing = {"state": "3", "close_code": "102", "close_notes": "x"}
    answer = world.call("PATCH", f"{SECURITY}/{world.call.created(SECURITY)['sys_id']}", closing)
    assert "was aborted by Business Rule 'Enforce process definition^" in (refusal(answer)[2] or "")


# An administrator's own columns and indexes


def test_a_unique_index_refuses_the_second(world: World) -> None:
    world.apply(columns={"incident": ["u_key"]}, unique={"incident": ["u_key"]})
    first = world.call.created(u_key="a#1")
    detail = "Unique Key violation detected by database (Duplicate entry 'a#1' for key 'u_key')"
    assert refusal(world.call("POST", INCIDENT, {"u_key": "a#1"})) == (403, "Operation Failed", detail)
    other = world.call.created(u_key="a#2")
    assert world.call("PATCH", f"{INCIDENT}/{other['sys_id']}", {"u_key": "a#1"}).status_code == 403
    assert world.call("PATCH", f"{INCIDENT}/{first['sys_id']}", {"u_key": "a#1", "state": "2"}).status_code == 200
    world.call.created()
    world.call.created()
    assert world.violations() == []


def test_an_own_column_is_imported_too_and_may_coalesce(world: World) -> None:
    maps = [{"target": "incident", "coalesce": ["u_key"]}]
    world.apply(columns={"incident": ["u_key"]}, import_sets={"u_alerts": {"maps": maps}})
    for _ in range(2):
        world.call("POST", "/api/now/import/u_alerts", {"u_u_key": "a#1"})
    assert [row["u_key"] for row in world.simulator.records("incident")] == ["a#1"]


def test_an_own_column_of_rows_that_were_there_is_empty(world: World) -> None:
    world.call.created()
    world.apply(columns={"incident": ["u_key"]})
    assert len(result(world.call("GET", f"{INCIDENT}?sysparm_query=u_keyISEMPTY"))) == 1
    assert result(world.call("GET", f"{INCIDENT}?sysparm_query=u_key=a")) == []


def test_wrong_columns_are_refused_by_name(world: World) -> None:
    for body, words in (({"columns": {"nope": ["a"]}}, "no table 'nope'"), ({"unique": {"incident": ["u_x"]}}, "u_x")):
        answer = world.call("POST", "/simulator/scenario", body)
        assert (answer.status_code, words in answer.text) == (400, True)


def test_a_data_policy_may_demand_a_column(world: World) -> None:
    world.apply(mandatory={"incident": ["caller_id"]})
    detail = "Data Policy Exception: \n\tThe following fields are mandatory: Caller id"
    assert refusal(world.call("POST", INCIDENT, {})) == (403, "Operation Failed", detail)
    assert world.call("POST", INCIDENT, {"caller_id": "Fred Johnson"}).status_code == 201


@pytest.mark.parametrize(("override", "noted"), [(None, True), ("false", True), ("true", False)])
def test_a_risk_score_without_its_override_is_noted(world: World, override: str | None, *, noted: bool) -> None:
    fields = {"risk_score": "80"} | ({} if override is None else {"risk_score_override": override})
    world.call.created(SECURITY, **fields)
    assert bool(world.violations()) is noted

"""ServiceNow's own Python client, as it is, against the simulator: what it relies on holds here too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from oauthlib.oauth2 import OAuth2Error
from pysnc import ServiceNowClient
from pysnc.auth import ServiceNowClientCredentialsFlow, ServiceNowPasswordGrantFlow
from pysnc.exceptions import AuthenticationException, NotFoundException, RoleException
from pysnc.record import GlideRecord

from bridge.simulator.applying import apply_scenario
from bridge.simulator.scenario import parse_body
from bridge.simulator.server import SimulatorServer
from bridge.simulator.tls import Authority
from bridge.wiring import utc_now


@pytest.fixture
def server(authority: Authority) -> Iterator[SimulatorServer]:
    """As it is by default: a client works without a change."""
    with SimulatorServer(clock=utc_now, tls=authority.context()) as started:
        yield started


@pytest.fixture
def client(authority: Authority, server: SimulatorServer) -> Iterator[ServiceNowClient]:
    made = ServiceNowClient(server.url, ("bridge", "bridge"), verify=str(authority.certificate_file))
    made.session.trust_env = False
    yield made
    made.session.close()


def created(client: ServiceNowClient, **fields: str) -> GlideRecord:
    record = client.GlideRecord("incident")
    record.initialize()
    for name, value in fields.items():
        record.set_value(name, value)
    assert record.insert() is not None
    return record


def found(client: ServiceNowClient, query: str, batch_size: int = 100) -> list[str]:
    record = client.GlideRecord("incident", batch_size=batch_size)
    record.add_encoded_query(query)
    record.order_by("number")
    record.query()
    return [row.get_value("short_description") for row in record]


def test_a_record_is_created_read_changed_and_deleted(client: ServiceNowClient, server: SimulatorServer) -> None:
    record = created(client, short_description="x", impact="1", urgency="1", assignment_group="SOC L2")
    read = client.GlideRecord("incident")
    assert read.get(record.sys_id)
    assert read.get_display_value("assignment_group") == "SOC L2"
    assert read.get_display_value("priority") == "1 - Critical"
    read.set_value("short_description", "y")
    assert read.update() is not None
    row = server.simulator.record("incident", str(record.sys_id))
    assert row is not None
    assert (row["short_description"], row["sys_mod_count"]) == ("y", "1")
    assert read.delete()
    assert not client.GlideRecord("incident").get(record.sys_id)


def test_a_sys_id_may_be_chosen(client: ServiceNowClient) -> None:
    record = client.GlideRecord("incident")
    record.initialize()
    record.set_new_guid_value("ab" * 16)
    record.set_value("short_description", "x")
    assert record.insert() == "ab" * 16


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("short_descriptionSTARTSWITHa", ["a1", "a2"]),
        ("short_description=a1^ORshort_description=b1", ["a1", "b1"]),
        ("impact=1^NQshort_description=b1", ["a1", "b1"]),
        ("impact=1", ["a1"]),
        ("short_descriptionINa1,b1^impact=3", ["b1"]),
        ("assignment_group.name=SOC L1", ["a2"]),
        ("short_description=nope", []),
    ],
)
def test_queries_find_what_they_say(client: ServiceNowClient, query: str, expected: list[str]) -> None:
    created(client, short_description="a1", impact="1")
    created(client, short_description="a2", assignment_group="SOC L1")
    created(client, short_description="b1")
    assert found(client, query) == expected


def test_conditions_are_built_by_the_client(client: ServiceNowClient) -> None:
    created(client, short_description="a1")
    created(client, short_description="b1", correlation_id="k")
    record = client.GlideRecord("incident")
    record.add_query("short_description", "LIKE", "1").add_or_condition("short_description", "b2")
    record.add_not_null_query("correlation_id")
    record.add_active_query()
    record.fields = ["number", "short_description"]
    record.query()
    assert (len(record), record.get_row_count()) == (1, 1)
    assert [row.get_value("short_description") for row in record] == ["b1"]


def test_pages_are_followed_to_the_end(client: ServiceNowClient, server: SimulatorServer) -> None:
    for number in range(7):
        created(client, short_description=str(number))
    assert found(client, "active=true", batch_size=3) == list("0123456")
    lists = [path for method, path, _ in server.simulator.calls if method == "GET"]
    assert len(lists) == 3


def test_many_records_are_changed_and_deleted_in_batches(client: ServiceNowClient, server: SimulatorServer) -> None:
    for number in range(4):
        created(client, short_description=str(number))
    record = client.GlideRecord("incident")
    record.query()
    for row in record:
        row.set_value("description", "seen")
    assert record.update_multiple()
    assert {row["description"] for row in server.simulator.records("incident")} == {"seen"}
    doomed = client.GlideRecord("incident")
    doomed.add_query("description", "seen")
    assert doomed.delete_multiple()
    assert server.simulator.records("incident") == []


def test_what_a_batch_left_undone_is_sent_again(client: ServiceNowClient, server: SimulatorServer) -> None:
    records = [created(client, short_description=str(number)) for number in range(3)]
    server.simulator.unserviced = 2
    seen: list[requests.Response | None] = []
    for record in records:
        client.batch_api.get(client.GlideRecord("incident"), str(record.sys_id), seen.append)
    client.batch_api.execute()
    assert [response.status_code for response in seen if response is not None] == [200, 200, 200]
    assert [path for _, path, _ in server.simulator.calls].count("/api/now/v1/batch") == 2


def test_a_long_query_goes_through_a_batch(client: ServiceNowClient, server: SimulatorServer) -> None:
    created(client, short_description="a1")
    record = client.GlideRecord("incident")
    record.add_query("short_description", "IN", ",".join(["a1", "x" * 11_000]))
    record.query()
    assert len(record) == 1
    assert server.simulator.calls[-1][1] == "/api/now/v1/batch"


def test_files_are_attached_listed_read_and_deleted(client: ServiceNowClient, tmp_path: Path) -> None:
    record = created(client, short_description="x")
    name = "report #1 & notes.txt"
    record.add_attachment(name, b"one\ntwo", content_type="text/plain")
    attachments = record.get_attachments()
    assert len(attachments) == 1
    for attachment in attachments:
        assert (str(attachment.file_name), str(attachment.size_bytes)) == (name, "7")
        assert attachment.read() == b"one\ntwo"
        assert attachment.readlines() == ["one", "two"]
        assert attachment.write_to(tmp_path).read_bytes() == b"one\ntwo"
        attachment.delete()
    assert len(record.get_attachments()) == 0


def test_wrong_credentials_are_its_authentication_error(authority: Authority, server: SimulatorServer) -> None:
    client = ServiceNowClient(server.url, ("bridge", "x"), verify=str(authority.certificate_file))
    client.session.trust_env = False
    with client.session, pytest.raises(AuthenticationException, match=r"(?i)not authenticated"):
        client.GlideRecord("incident").query()


def test_a_missing_role_is_its_role_error(authority: Authority, server: SimulatorServer) -> None:
    users = {"poor": {"password": "x", "roles": ["nothing"]}}
    apply_scenario(server.simulator, parse_body({"access": {"users": users}}))
    client = ServiceNowClient(server.url, ("poor", "x"), verify=str(authority.certificate_file))
    client.session.trust_env = False
    with client.session, pytest.raises(RoleException):
        created(client, short_description="x")


def test_a_missing_record_is_its_not_found_error(client: ServiceNowClient) -> None:
    with pytest.raises(NotFoundException):
        client.attachment_api.get("0" * 32)


def test_a_clients_certificate_is_enough(authority: Authority, server: SimulatorServer) -> None:
    pair = authority.client("bridge")
    cert = (str(pair.certificate), str(pair.key))
    client = ServiceNowClient(server.url, cert=cert, verify=str(authority.certificate_file))
    client.session.trust_env = False
    with client.session:
        created(client, short_description="x")
    assert server.simulator.records("incident")[0]["sys_created_by"] == "bridge"


def test_it_tries_again_after_a_503(client: ServiceNowClient, server: SimulatorServer) -> None:
    apply_scenario(server.simulator, parse_body({"faults": [{"kind": "server_error", "method": "GET"}]}))
    assert found(client, "active=true") == []


def test_a_token_of_the_client_credentials_grant_is_taken(
    authority: Authority, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate_file))  # its token call takes no `verify`
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clients = {"app": {"secret": "s", "user": "bridge"}}
    apply_scenario(server.simulator, parse_body({"access": {"clients": clients}}))
    flow = ServiceNowClientCredentialsFlow("app", "s")
    client = ServiceNowClient(server.url, flow, verify=str(authority.certificate_file))
    with client.session:
        assert created(client, short_description="x").get_value("sys_created_by") == "bridge"


@pytest.fixture
def by_password(
    authority: Authority, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServiceNowClient]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate_file))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    apply_scenario(server.simulator, parse_body({"access": {"clients": {"app": {"secret": "s"}}}}))
    flow = ServiceNowPasswordGrantFlow("bridge", "bridge", "app", "s")
    client = ServiceNowClient(server.url, flow, verify=str(authority.certificate_file))
    yield client
    client.session.close()


def test_a_token_of_the_password_grant_is_taken(by_password: ServiceNowClient) -> None:
    assert created(by_password, short_description="x").get_value("sys_created_by") == "bridge"


def test_a_token_of_the_password_grant_that_has_expired_is_its_authentication_error_until_it_is_refreshed(
    by_password: ServiceNowClient, server: SimulatorServer
) -> None:
    server.simulator.access.tokens.forget("", refresh=False)
    with pytest.raises(AuthenticationException, match=r"(?i)not authenticated"):
        created(by_password, short_description="x")
    session = by_password.session
    session.refresh_token(session.auto_refresh_url, **session.auto_refresh_kwargs)
    assert created(by_password, short_description="y").get_value("sys_created_by") == "bridge"


def test_a_wrong_password_gets_no_token(
    authority: Authority, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    apply_scenario(server.simulator, parse_body({"access": {"clients": {"app": {"secret": "s"}}}}))
    flow = ServiceNowPasswordGrantFlow("bridge", "x", "app", "s")
    with pytest.raises(OAuth2Error, match="access_denied"):
        ServiceNowClient(server.url, flow, verify=str(authority.certificate_file))

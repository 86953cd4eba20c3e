"""The doctor, over real sockets: what it says of an instance that is well, and of one that is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_world import ITSM, SIR, Patient, certificate_in, first_cause, server_with
from scripted_server import ScriptedServer, answer, raw

from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now

BROKEN = "The instance's answer is empty or breaks off: it is overloaded, or what stands between changes answers."
EMPTY = answer(200, b'{"result":[]}', keep=True)


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Patient:
    return Patient(tmp_path, capsys)


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def prod(patient: Patient, servicenow: SimulatorServer) -> Patient:
    patient.is_at(servicenow.url)
    return patient


def writes(servicenow: SimulatorServer) -> list[str]:
    return [method for method, _path, _status in servicenow.simulator.calls if method not in ("GET", "HEAD")]


def fail(servicenow: SimulatorServer, kind: FaultKind, *methods: str, **more: Any) -> None:
    servicenow.simulator.faults.add(Fault(kind=kind, methods=frozenset(methods), times=None, **more))


# --- all is well


def test_an_instance_that_is_well_has_nothing_wrong(prod: Patient) -> None:
    found = prod.findings(status=0)
    assert found["authentication"]["outcome"] == found["read incident"]["outcome"] == "ok"


def test_it_only_reads(prod: Patient, servicenow: SimulatorServer) -> None:
    prod.findings(status=0)
    assert writes(servicenow) == []


def test_what_was_not_tried_is_told_as_not_tested(prod: Patient) -> None:
    assert "NOT TESTED  write itsm" in prod.doctor(status=0)


def test_each_step_has_its_time(prod: Patient) -> None:
    assert all(finding["seconds"] >= 0 for finding in prod.findings(status=0).values())


def test_the_clocks_are_compared(prod: Patient) -> None:
    assert prod.findings(status=0)["clock"]["outcome"] == "ok"


def test_an_instance_that_is_not_in_the_file_is_wrong_usage(prod: Patient) -> None:
    prod.doctor("--instance", "elsewhere", status=2)
    assert "there is no instance elsewhere" in prod.error
    assert "known: prod" in prod.error


def test_a_missing_secret_is_wrong_configuration(prod: Patient) -> None:
    prod.password.unlink()
    found = prod.findings(status=2)["configuration"]
    assert "bridge.yaml:9:" in found["said"]
    assert "password cannot be read" in found["said"]
    assert found["causes"][0]["do"] == "write the secret into it, mode 0600"


def test_a_secret_that_others_can_read_is_a_warning(prod: Patient) -> None:
    prod.password.chmod(0o644)
    prod.findings(status=0)
    assert "warning: " in prod.error
    assert "instances.prod.auth.password: others can read " in prod.error


def test_an_instance_without_its_secret_keeps_no_other_from_being_looked_at(
    prod: Patient, servicenow: SimulatorServer
) -> None:
    more = f"dev: {{url: {servicenow.url}, auth: {{scheme: api_key, key: {{file: absent}}}}}}"
    text = prod.config.read_text()
    prod.config.write_text(text.replace("instances:\n", f"instances:\n  {more}\n"))
    found = prod.findings(status=2)
    assert found["configuration"]["instance"] == "dev"
    assert found["authentication"]["instance"] == "prod"


# --- faults of the simulator, each with the step that finds it and its first cause


@pytest.mark.parametrize(
    ("kind", "step", "cause"),
    [
        (FaultKind.HIBERNATING, "authentication", "The developer instance sleeps."),
        (FaultKind.LOGIN, "authentication", "The instance sends the call to its own log-in page."),
        (
            FaultKind.LOGIN_PAGE,
            "authentication",
            "A log-in page came: a proxy or a sign-on gateway stands before the instance.",
        ),
        (FaultKind.NO_RESULT, "authentication", BROKEN),
        (FaultKind.TRUNCATED, "authentication", BROKEN),
        (FaultKind.UNAUTHENTICATED, "authentication", "The user name or the password is wrong."),
        (FaultKind.RATE_LIMIT, "authentication", "The hour's calls that a rate limit rule allows are used up."),
        (FaultKind.SERVER_ERROR, "authentication", "The instance is starting, being upgraded, or overloaded."),
        (FaultKind.CLOSED, "authentication", "The instance is starting, being upgraded, or overloaded."),
        (FaultKind.ACL, "read incident", "The integration user lacks a role."),
    ],
)
def test_a_fault_is_found_and_its_cause_told(
    prod: Patient, servicenow: SimulatorServer, kind: FaultKind, step: str, cause: str
) -> None:
    fail(servicenow, kind, path="/table/incident")
    found = prod.findings(status=1)[step]
    assert (found["outcome"], first_cause(found)) == ("wrong", cause)


def test_a_wrong_password_stops_what_needs_it(prod: Patient) -> None:
    prod.password.write_text("not this\n")
    found = prod.findings(status=1)
    assert found["read incident"]["said"] == "authentication is wrong, which comes first."


def test_without_its_plugin_a_table_is_wrong(patient: Patient) -> None:
    with SimulatorServer(clock=utc_now, security_incidents=False) as servicenow:
        patient.is_at(servicenow.url, targets=ITSM + SIR)
        found = patient.findings(status=1)
    assert found["read incident"]["outcome"] == "ok"
    assert first_cause(found["read sn_si_incident"]).startswith("Security Incident Response")


def test_without_threat_intelligence_the_observables_are_what_goes_missing(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    servicenow.simulator.missing = frozenset({"sn_ti"})
    patient.is_at(servicenow.url, targets=SIR)
    found = patient.wrong()
    assert (found["step"], "leave `observables` out" in found["causes"][0]["do"]) == ("observables", True)


def test_an_instance_that_is_down_takes_no_connection(prod: Patient, servicenow: SimulatorServer) -> None:
    servicenow.down()
    assert first_cause(prod.wrong()) == "Nothing listens at this port of this machine."


def test_a_name_that_is_none_cannot_be_resolved(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    patient.is_at("https://acme.servicenow.com")
    found = patient.wrong()
    assert (found["step"], "company's own site" in first_cause(found)) == ("name", True)


# --- what no decent server does


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        (
            answer(200, b"<form><input type='password'></form>", content_type="text/html"),
            "A log-in page came: a proxy or a sign-on gateway stands before the instance.",
        ),
        (
            raw(b"HTTP/1.1 302 X\r\nLocation: https://sso.acme.example/in\r\nContent-Length: 0\r\n\r\n"),
            "A proxy or a sign-on gateway asks for a log-in first, at sso.acme.example.",
        ),
        (
            raw(b"HTTP/1.1 302 X\r\nLocation: https://acme2.service-now.com/\r\nContent-Length: 0\r\n\r\n"),
            "The instance has another name now: acme2.service-now.com.",
        ),
        (
            raw(b"HTTP/1.1 302 X\r\nLocation: https://developer.servicenow.com/dev.do\r\nContent-Length: 0\r\n\r\n"),
            "The developer instance sleeps, or was taken away.",
        ),
        (answer(404, b"{}"), "127.0.0.1 is not an instance: it has no Table API."),
        (
            answer(400, b"<center>No required SSL certificate was sent</center>", content_type="text/html"),
            "What stands before the instance asks for a client certificate.",
        ),
        (
            answer(401, b'{"error":{"message":"User Not Authenticated"}}', "X-MFA_TOKEN: invalid"),
            "The user's password is right, and a second factor is asked of it.",
        ),
        (
            answer(401, b"no", content_type="text/plain"),
            "The refusal is not ServiceNow's: a gateway before it asks for credentials of its own.",
        ),
        (
            answer(403, b"no", content_type="text/plain"),
            "The refusal is not the API's: a gateway, or the instance's list of addresses, keeps this machine out.",
        ),
        (
            answer(407, b"", "Proxy-Authenticate: Basic"),
            "The proxy asks for credentials, or those in transport.proxy are not taken.",
        ),
    ],
)
def test_what_stands_before_an_instance_is_told_apart(patient: Patient, step: Any, cause: str) -> None:
    with ScriptedServer(step) as server:
        patient.is_at(server.url)
        assert first_cause(patient.findings(status=1)["authentication"]) == cause


def test_records_that_are_hidden_are_told_from_none(patient: Patient) -> None:
    hidden = answer(200, b'{"result":[]}', "X-Total-Count: 17", keep=True)
    with ScriptedServer(EMPTY, EMPTY, hidden, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=1)["read incident"]
    assert found["said"] == "incident has 17 records, and none is shown to the integration user."


def test_columns_that_are_hidden_are_named(patient: Patient) -> None:
    row = answer(200, b'{"result":[{"sys_id":"a","number":"INC1","state":"1"}]}', keep=True)
    with ScriptedServer(EMPTY, EMPTY, row, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=1)["read incident"]
    assert "does not show correlation_id, correlation_display" in found["said"]


def test_an_administrator_is_too_much(patient: Patient) -> None:
    roles = answer(200, b'{"result":[{"role.name":"admin","user.user_name":"bridge"}]}', keep=True)
    with ScriptedServer(EMPTY, roles, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=1)["roles"]
    assert (found["outcome"], found["said"]) == ("wrong", "bridge has admin, which the bridge never needs.")


def test_a_rate_limit_below_our_own_is_wrong(patient: Patient) -> None:
    limited = answer(200, b'{"result":[]}', "X-RateLimit-Limit: 1000", "X-RateLimit-Rule: r1", keep=True)
    with ScriptedServer(limited, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=1)["rate limits"]
    assert found["said"] == "The rule r1 allows 1000 calls an hour, the bridge takes at most 20000."


def test_a_step_for_which_a_rule_leaves_no_call_has_its_cause(patient: Patient) -> None:
    spent = answer(200, b'{"result":[]}', "X-RateLimit-Limit: 2", "X-RateLimit-Rule: r1", keep=True)
    with ScriptedServer(*[spent] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=1)["schema sys_user_group"]
    assert first_cause(found) == "The hour's calls that a rate limit rule allows are used up."


def test_a_step_for_which_the_bridge_s_own_limit_leaves_no_call_has_its_cause(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    patient.is_at(servicenow.url, more="limits: {calls_per_hour: 2}")
    found = patient.findings(status=1)["schema sys_user_group"]
    assert first_cause(found) == "A visit takes more calls than limits.calls_per_hour of the instance allows."


def test_a_rate_limit_that_is_no_number_is_not_compared(patient: Patient) -> None:
    limited = answer(200, b'{"result":[]}', "X-RateLimit-Limit: plenty", keep=True)
    with ScriptedServer(limited, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        found = patient.findings(status=None)["rate limits"]
    assert (found["outcome"], "'plenty', which is no number" in found["said"]) == ("not_tested", True)


def test_a_clock_that_is_off_is_wrong(patient: Patient) -> None:
    dated = answer(200, b'{"result":[]}', "Date: Thu, 01 Jan 2026 00:00:00 GMT", keep=True)
    with ScriptedServer(dated, *[EMPTY] * 9) as server:
        patient.is_at(server.url)
        assert first_cause(patient.findings(status=1)["clock"]) == "This machine's clock is wrong."


def test_what_does_not_speak_tls_is_told(patient: Patient) -> None:
    with ScriptedServer(raw(b"HTTP/1.1 400 X\r\n\r\n"), read_request=False) as server:
        patient.is_at(server.url.replace("http://", "https://"))
        assert first_cause(patient.wrong()) == "What listens there does not speak TLS."


# --- TLS


def test_a_private_authority_is_told_as_one(patient: Patient, tmp_path: Path) -> None:
    with ScriptedServer(EMPTY, tls=server_with(certificate_in(tmp_path))) as server:
        patient.is_at(server.url)
        assert "transport.ca" in patient.wrong()["causes"][0]["do"]


@pytest.mark.parametrize(
    ("name", "days", "cause"),
    [
        ("acme.example", 9, "The certificate is for another name"),
        ("127.0.0.1", -1, "The certificate has expired"),
    ],
)
def test_a_certificate_that_does_not_fit_is_told(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, days: int, cause: str
) -> None:
    certificate = certificate_in(tmp_path, name=name, days=days)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with ScriptedServer(EMPTY, tls=server_with(certificate)) as server:
        patient.is_at(server.url)
        assert first_cause(patient.wrong()).startswith(cause)


def test_a_good_certificate_is_told_with_its_issuer(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_in(tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with ScriptedServer(EMPTY, tls=server_with(certificate)) as server:
        patient.is_at(server.url)
        found = patient.findings(status=None)["tls"]
    assert (found["outcome"], "the certificate is by 127.0.0.1, until" in found["said"]) == ("ok", True)


def test_how_soon_peoples_changes_are_seen_is_told(prod: Patient) -> None:
    said = prod.findings(status=0)["people"]["said"]
    assert said == "What people change in the incidents is seen within 45 s."


def test_where_nothing_answers_nothing_is_said_of_peoples_changes(prod: Patient, servicenow: SimulatorServer) -> None:
    servicenow.down()
    assert prod.findings(status=1)["people"]["outcome"] == "not_tested"


def test_a_budget_that_is_too_small_to_see_people_within_a_minute_is_wrong(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    patient.is_at(servicenow.url, more="limits: {calls_per_hour: 120}")
    found = patient.wrong()
    said = "What people change in the incidents is seen within 300 s, and after a turn with much to ask within 3600 s."
    assert (found["step"], found["said"]) == ("people", said)


def test_how_soon_peoples_changes_are_seen_is_told_with_what_it_is_after_a_full_burst(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    patient.is_at(servicenow.url, more="limits: {calls_per_hour: 1200}")
    said = patient.findings(status=0)["people"]["said"]
    assert said == (
        "What people change in the incidents is seen within 45 s, and after a turn with much to ask within 360 s."
    )

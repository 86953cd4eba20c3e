"""The doctor by each way in, and through a transport of its own."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from doctor_world import BASIC, Patient, certificate_in, first_cause, server_with
from scripted_server import ScriptedServer, answer

from bridge.simulator.access import ApiKey, OAuthClient, User
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.simulator.tls import Authority, ClientCertificates
from bridge.wiring import utc_now

KEY = "{scheme: api_key, key: {file: var/key}}"
CLIENT = "{scheme: oauth_client_credentials, client_id: c1, client_secret: {file: var/key}}"
NO_CLIENT = "The client ID or the client secret is not that of an active OAuth application."
PASSWORD = (
    "{scheme: oauth_password, client_id: c1, client_secret: {file: var/key}, username: bridge, "
    "password: {file: var/password}}"
)


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        server.simulator.access.api_keys["right"] = ApiKey(user="bridge")
        server.simulator.access.clients["c1"] = OAuthClient(secret="right", user="bridge")
        yield server


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Patient:
    patient = Patient(tmp_path, capsys)
    (tmp_path / "var" / "key").write_text("right\n")
    return patient


@pytest.mark.parametrize(
    ("auth", "who"),
    [
        (KEY, "API key"),
        (CLIENT, "OAuth, client credentials"),
        (PASSWORD, "OAuth, password grant, user bridge"),
    ],
)
def test_each_way_in_is_well(patient: Patient, servicenow: SimulatorServer, auth: str, who: str) -> None:
    patient.is_at(servicenow.url, auth=auth)
    found = patient.findings("--write-probe", status=0)
    assert found["authentication"]["said"] == f"The instance takes these credentials ({who})."


@pytest.mark.parametrize("auth", [KEY, CLIENT])
def test_whose_roles_they_are_is_asked_where_the_credentials_do_not_say(
    patient: Patient, servicenow: SimulatorServer, auth: str
) -> None:
    roles = frozenset({"sn_incident_write", "user_admin"})
    servicenow.simulator.add_user(User(name="bridge", password="bridge", roles=roles))
    patient.is_at(servicenow.url, auth=auth)
    assert patient.wrong()["said"] == "bridge has user_admin, which the bridge never needs."


def test_where_the_instance_runs_no_script_in_a_query_nobody_is_named(patient: Patient) -> None:
    row = b'{"user_name":"%s"}'
    two = answer(200, b'{"result":[' + row % b"ada" + b"," + row % b"bob" + b"]}", keep=True)
    empty = answer(200, b'{"result":[]}', keep=True)
    with ScriptedServer(empty, two, *[empty] * 9) as server:
        patient.is_at(server.url, auth=KEY)
        found = patient.findings(status=None)["roles"]
    assert (found["outcome"], "the instance does not tell" in found["said"]) == ("not_tested", True)


@pytest.mark.parametrize(
    ("auth", "cause"),
    [
        (KEY, "The API key was revoked, has expired, or is not the whole key."),
        (CLIENT, NO_CLIENT),
        (PASSWORD, NO_CLIENT),
    ],
)
def test_what_is_not_taken_is_told_by_its_scheme(
    patient: Patient, servicenow: SimulatorServer, auth: str, cause: str
) -> None:
    (patient.folder / "var" / "key").write_text("revoked\n")
    patient.is_at(servicenow.url, auth=auth)
    found = patient.wrong()
    assert (found["step"], first_cause(found)) == ("authentication", cause)


IMPORT = "  sir: {instance: prod, table: sn_si_incident, write: import_set, preset: sir_import}\n"
ELASTIC = "  itsm: {instance: prod, table: incident, write: import_set, preset: elastic}\n"


@pytest.mark.parametrize(
    ("targets", "step", "api"),
    [
        (IMPORT, "write sir", "the Import Set API"),
        (ELASTIC, "import set x_elas2_inc_int_elastic_incident", "Elastic's app"),
    ],
)
def test_a_key_that_one_api_takes_and_another_does_not_is_told_as_a_policy_of_the_other(
    patient: Patient, servicenow: SimulatorServer, targets: str, step: str, api: str
) -> None:
    servicenow.simulator.access.api_keys["right"] = ApiKey(user="bridge", apis=frozenset({"table"}))
    patient.is_at(servicenow.url, auth=KEY, targets=targets)
    found = patient.findings("--write-probe", status=1)[step]
    (cause, *more) = found["causes"]
    assert found["said"].startswith("ServiceNow answered 401 to credentials that it takes elsewhere. It said: User Not")
    assert (f"the REST API access policy of {api} does not take them" in cause["what"], more) == (True, [])


@pytest.mark.parametrize(
    ("auth", "name", "padded"),
    [
        (BASIC, "password", "password"),
        (CLIENT, "key", "client_secret"),
        (PASSWORD, "password", "password"),
    ],
)
@pytest.mark.parametrize("pad", [" {}", "{} ", "{}\n\n"], ids=["before", "after", "an empty line"])
def test_a_secret_with_a_blank_around_it_is_told_first(
    patient: Patient, servicenow: SimulatorServer, auth: str, name: str, padded: str, pad: str
) -> None:
    for file, secret in (("key", "right"), ("password", "bridge")):
        (patient.folder / "var" / file).write_text(pad.format(secret) if file == name else secret)
    patient.is_at(servicenow.url, auth=auth)
    assert first_cause(patient.wrong()).startswith(f"What {padded} refers to begins or ends with a blank")


def test_a_key_that_no_header_can_carry_keeps_no_other_instance_from_being_looked_at(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    (patient.folder / "var" / "key").write_text(" right")
    patient.is_at(servicenow.url, auth=KEY)
    assert "what no header can carry" in patient.findings(status=2)["configuration"]["said"]


def test_the_plugin_that_keys_need_is_named(patient: Patient, servicenow: SimulatorServer) -> None:
    (patient.folder / "var" / "key").write_text("revoked")
    patient.is_at(servicenow.url, auth=KEY)
    causes = [cause["what"] for cause in patient.wrong()["causes"]]
    assert causes[1].startswith("The plugin API Key and HMAC Authentication is not active; releases older than")
    assert "or it is for another API" in causes[2]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (FaultKind.HIBERNATING, "The developer instance sleeps."),
        (FaultKind.LOGIN_PAGE, "A log-in page came: a proxy or a sign-on gateway stands before the instance."),
    ],
)
def test_a_page_instead_of_a_token_is_told_as_a_page(
    patient: Patient, servicenow: SimulatorServer, kind: FaultKind, cause: str
) -> None:
    servicenow.simulator.faults.add(Fault(kind=kind, times=None))
    patient.is_at(servicenow.url, auth=CLIENT)
    assert first_cause(patient.wrong()) == cause


def test_a_private_authority_that_is_named_is_trusted(patient: Patient) -> None:
    certificate = certificate_in(patient.folder)
    with SimulatorServer(clock=utc_now, tls=server_with(certificate)) as servicenow:
        patient.is_at(servicenow.url, more=f"transport: {{ca: {certificate}}}")
        found = patient.findings(status=0)
    assert found["tls"]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("transport", "said"),
    [
        ("{ca: absent.pem}", "instances.prod.transport.ca: "),
        ("{proxy: {file: absent}}", "instances.prod.transport.proxy: "),
        ("{client_cert: var/key}", "instances.prod.transport.client_cert: "),
    ],
)
def test_a_file_of_the_transport_that_cannot_be_used_is_told_before_anything_is_asked(
    patient: Patient, servicenow: SimulatorServer, transport: str, said: str
) -> None:
    patient.is_at(servicenow.url, more=f"transport: {transport}")
    found = patient.findings(status=2)["configuration"]
    assert (said in found["said"], servicenow.simulator.calls) == (True, [])


def test_a_proxy_that_wants_a_password_is_told_from_one_that_is_not_there(patient: Patient) -> None:
    with ScriptedServer(answer(407, b"", "Proxy-Authenticate: Basic")) as proxy:
        patient.is_at("https://acme.service-now.com", more=f"transport: {{proxy: '{proxy.url}'}}")
        assert first_cause(patient.wrong()).startswith("The proxy asks for credentials")


def test_a_proxy_that_inspects_tls_is_told_as_a_private_authority(patient: Patient) -> None:
    inspects = server_with(certificate_in(patient.folder))

    def inspected(connection: socket.socket, _stop: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(ssl.SSLError):  # the other side does not trust it
            inspects.wrap_socket(connection, server_side=True).close()

    with ScriptedServer(inspected) as proxy:
        patient.is_at("https://acme.service-now.com", more=f"transport: {{proxy: '{proxy.url}'}}")
        found = patient.wrong()
    assert "The TLS handshake failed (self" in found["said"]
    assert "a certificate of a private authority" in first_cause(found)
    assert "transport.ca" in found["causes"][0]["do"]


def test_what_a_proxy_leads_to_that_speaks_no_tls_is_told(patient: Patient) -> None:
    def plain(connection: socket.socket, _stop: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ScriptedServer(plain) as proxy:
        patient.is_at("https://acme.service-now.com", more=f"transport: {{proxy: '{proxy.url}'}}")
        assert first_cause(patient.wrong()) == "What listens there does not speak TLS."


def test_a_key_with_a_password_is_refused_and_not_asked_about(patient: Patient) -> None:
    pair = Authority(patient.folder / "tls", now=utc_now()).client("bridge")
    key = load_pem_private_key(Path(pair.key).read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    (patient.folder / "locked.pem").write_bytes(locked)
    controller, terminal = os.openpty()
    words = [sys.executable, "-c", AT_A_TERMINAL, str(pair.certificate), str(patient.folder / "locked.pem")]
    asked = subprocess.Popen(words, stdin=terminal, stdout=subprocess.PIPE, start_new_session=True)
    try:
        told, _ = asked.communicate(timeout=30)  # a question waits for ever
    finally:
        asked.kill()
        asked.wait()
        os.close(controller)
        os.close(terminal)
    assert told == b"refused\n"


AT_A_TERMINAL = """
import fcntl, ssl, sys, termios
from pathlib import Path
from bridge.doctor.connection import _context
from bridge.settings import Transport
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
try:
    _context(Transport(client_cert=Path(sys.argv[1]), client_key=Path(sys.argv[2])))
except ssl.SSLError:
    print("refused")
"""


def test_a_client_certificate_that_is_lacking_is_told(patient: Patient) -> None:
    authority = Authority(patient.folder / "tls", now=utc_now())
    required = authority.context(ClientCertificates.REQUIRED)
    with SimulatorServer(clock=utc_now, tls=required) as servicenow:
        patient.is_at(servicenow.url, more=f"transport: {{ca: {authority.folder / 'ca.pem'}}}")
        found = patient.wrong()
    assert (found["step"], first_cause(found).startswith("A client certificate is asked for")) == (
        "authentication",
        True,
    )


def test_a_client_certificate_that_is_shown_is_well(patient: Patient) -> None:
    authority = Authority(patient.folder / "tls", now=utc_now())
    pair = authority.client("bridge")
    files = f"client_cert: {pair.certificate}, client_key: {pair.key}"
    more = f"transport: {{ca: {authority.folder / 'ca.pem'}, {files}}}"
    with SimulatorServer(clock=utc_now, tls=authority.context(ClientCertificates.REQUIRED)) as servicenow:
        patient.is_at(servicenow.url, more=more)
        assert patient.findings(status=0)["authentication"]["outcome"] == "ok"


def test_a_proxy_that_is_not_there_is_told(patient: Patient, servicenow: SimulatorServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    patient.is_at(servicenow.url, more=f"transport: {{proxy: 'http://127.0.0.1:{port}'}}")
    found = patient.findings(status=1)
    assert (found["name"]["outcome"], found["tls"]["outcome"]) == ("not_tested", "not_tested")
    assert first_cause(found["authentication"]).startswith("The proxy is not there")

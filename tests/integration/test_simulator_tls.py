"""The simulator over TLS: a CA of its own, clients' certificates, and faults that are the same."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.simulator.tls import Authority, ClientCertificates
from bridge.wiring import utc_now

NOW = utc_now()  # clients look at the machine's clock, whatever the simulator's says


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls", now=NOW)


@pytest.fixture
def server(authority: Authority) -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=lambda: NOW, tls=authority.context()) as started:
        yield started


def session(authority: Authority, *, own: bool = False) -> requests.Session:
    opened = requests.Session()
    opened.trust_env = False
    opened.verify = str(authority.certificate_file)
    if own:
        pair = authority.client("bridge")
        opened.cert = (str(pair.certificate), str(pair.key))
    return opened


def read(opened: requests.Session, url: str, **changes: object) -> requests.Response:
    return opened.get(f"{url}/api/now/table/incident", timeout=10, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_ca_is_served(authority: Authority, server: SimulatorServer, host: str) -> None:
    with session(authority) as opened:
        url = server.url.replace("127.0.0.1", host)
        answer = read(opened, url, auth=("bridge", "bridge"))
        assert (answer.status_code, answer.json()) == (200, {"result": []})
        assert url.startswith("https://")


def test_links_say_https(authority: Authority, server: SimulatorServer) -> None:
    with session(authority) as opened:
        assert f"<{server.url}/api/now/table" in read(opened, server.url, auth=("bridge", "bridge")).headers["Link"]


def test_a_client_that_does_not_trust_it_leaves(server: SimulatorServer) -> None:
    with requests.Session() as opened:
        opened.trust_env = False
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            read(opened, server.url)


def test_plain_http_to_a_tls_port_is_no_answer(server: SimulatorServer) -> None:
    with requests.Session() as opened:
        opened.trust_env = False
        with pytest.raises(requests.ConnectionError):
            read(opened, server.url.replace("https", "http"))


def test_a_clients_certificate_is_its_user(authority: Authority, server: SimulatorServer) -> None:
    with session(authority, own=True) as opened:
        assert read(opened, server.url).status_code == 200


def test_without_a_certificate_credentials_are_needed(authority: Authority, server: SimulatorServer) -> None:
    with session(authority) as opened:
        assert read(opened, server.url).status_code == 401


def test_a_required_certificate_keeps_others_out(authority: Authority) -> None:
    context = authority.context(ClientCertificates.REQUIRED)
    with SimulatorServer(clock=lambda: NOW, tls=context) as server:
        with session(authority) as without, pytest.raises(requests.ConnectionError):
            read(without, server.url, auth=("bridge", "bridge"))
        with session(authority, own=True) as opened:
            assert read(opened, server.url).status_code == 200


def test_a_certificate_of_another_ca_is_refused(authority: Authority, server: SimulatorServer, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "other", now=NOW).client("bridge")
    with session(authority) as opened:
        opened.cert = (str(pair.certificate), str(pair.key))
        with pytest.raises(requests.ConnectionError):
            read(opened, server.url)


def test_a_reset_loses_the_answer_under_tls_too(authority: Authority, server: SimulatorServer) -> None:
    server.simulator.faults.add(Fault(kind=FaultKind.RESET_AFTER_COMMIT))
    headers = {"Accept": "application/json"}
    with session(authority) as opened, pytest.raises(requests.ConnectionError):
        opened.post(
            f"{server.url}/api/now/table/incident", json={}, auth=("bridge", "bridge"), headers=headers, timeout=10
        )
    assert len(server.simulator.records("incident")) == 1


def test_an_outage_cuts_what_is_open(authority: Authority, server: SimulatorServer) -> None:
    with session(authority) as opened:
        read(opened, server.url)
        server.down()
        with pytest.raises(requests.ConnectionError):
            read(opened, server.url)
        server.up()
        assert read(opened, server.url, auth=("bridge", "bridge")).status_code == 200


def test_the_ca_is_kept_and_made_anew_before_it_ends(tmp_path: Path) -> None:
    first = Authority(tmp_path, now=NOW).certificate_file.read_bytes()
    assert Authority(tmp_path, now=NOW + timedelta(days=300)).certificate_file.read_bytes() == first
    assert Authority(tmp_path, now=NOW + timedelta(days=360)).certificate_file.read_bytes() != first


def test_keys_are_readable_by_their_owner_alone(authority: Authority) -> None:
    pair = authority.client("bridge")
    assert {path.stat().st_mode & 0o077 for path in (pair.key, authority.folder / "ca.key")} == {0}


def test_certificates_pass_a_strict_check(authority: Authority, server: SimulatorServer) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        assert secure.getpeercert()


def test_the_command_says_which_ca_to_trust(tmp_path: Path) -> None:
    program = "from bridge.cli.simulator import simulator; simulator()"
    command = [sys.executable, "-c", program, "--tls", str(tmp_path / "tls")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = re.search(r"https://127\.0\.0\.1:\d+", process.stdout.readline())
            assert url is not None
            assert str(tmp_path / "tls" / "ca.pem") in process.stdout.readline()
            opened = requests.Session()
            opened.trust_env = False
            opened.verify = str(tmp_path / "tls" / "ca.pem")
            opened.cert = (str(tmp_path / "tls" / "client.pem"), str(tmp_path / "tls" / "client.key"))
            with opened:
                assert read(opened, url[0]).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "ca.key").write_text("x")
    command = [sys.executable, "-c", "from bridge.cli.simulator import simulator; simulator()", "--tls", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "no CA can be kept here" in done.stderr
    assert "Traceback" not in done.stderr

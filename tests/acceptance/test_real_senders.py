"""Senders that others wrote, at a bridge that runs: what they send becomes an incident, and ends it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import requests
from machine import Machine, direct, free_url
from py_ocsf_models.events.findings.activity_id import ActivityID
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from py_ocsf_models.events.findings.detection_finding_type_id import DetectionFindingTypeID
from py_ocsf_models.events.findings.severity_id import SeverityID
from py_ocsf_models.events.findings.status_id import StatusID
from py_ocsf_models.objects.finding_info import FindingInformation
from py_ocsf_models.objects.metadata import Metadata
from py_ocsf_models.objects.observable import Observable, TypeID
from py_ocsf_models.objects.product import Product
from py_ocsf_models.objects.resource_details import ResourceDetails

from bridge.wiring import utc_now

ROOT = Path(__file__).resolve().parents[2]
ALERTMANAGER = "prometheus-alertmanager"  # Debian's package and program
SECRET = "bridge"  # what `bridge init` writes into the file
SOURCES = "".join(
    f"  {name}: {{mapping: {name}, auth: {{scheme: bearer, secret: {{file: var/simulator.password}}}}}}\n"
    for name in ("alertmanager", "ocsf-finding")
)
# A second between what it groups, none before the first: the least that it takes.
CONFIG = """\
route: {{receiver: bridge, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: bridge
    webhook_configs: [{{url: {url}, http_config: {{authorization: {{credentials: {secret}}}}}}}]
"""
LABELS = {"alertname": "DiskFull", "instance": "db-07:9100", "severity": "critical", "team": "platform"}


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Machine]:
    """A simulator, and a bridge that is not started yet. It closes without Alertmanager's five minutes of quiet."""
    mappings = tmp_path / "mappings"
    shutil.copytree(ROOT / "mappings", mappings)
    text = (mappings / "alertmanager.yaml").read_text("utf-8")
    assert "close_after: 5m" in text
    without_tests, _, _ = text.replace("close_after: 5m", "close_after: 0s").partition("\ntests:\n")  # of those minutes
    (mappings / "alertmanager.yaml").write_text(without_tests, "utf-8")
    made = Machine(tmp_path / "bridge", SOURCES, mappings)
    try:
        made.start_simulator()
        yield made
    finally:
        made.close()


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[str]:
    """Alertmanager, sending to the hook; yields the URL of its own API."""
    program = shutil.which(ALERTMANAGER)
    if program is None:
        pytest.skip(f"{ALERTMANAGER}, the package of Debian, is not installed here")
    url = free_url()
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG.format(url=hook, secret=SECRET), "utf-8")
    options = {
        "config.file": str(config),
        "storage.path": str(folder / "alertmanager"),
        "web.listen-address": url.removeprefix("http://"),
        "cluster.listen-address": "",  # alone
    }
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *(f"--{key}={value}" for key, value in options.items())],
            cwd=folder,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield url
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    try:
        with direct() as http:
            return http.get(f"{url}/-/ready", timeout=2).ok
    except requests.RequestException:
        return False


def tell(url: str, *, ends_at: datetime | None = None) -> None:
    """As Prometheus does: the alert, and when it ends or has ended."""
    alert = {"labels": LABELS, "annotations": {"summary": "The disk is full"}, "generatorURL": "http://prom/graph"}
    if ends_at is not None:
        alert["endsAt"] = ends_at.isoformat()
    with direct() as http:
        http.post(f"{url}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


def test_alertmanager_fires_while_the_bridge_is_away_and_resolves_to_a_closed_incident(
    bridge: Machine, tmp_path: Path
) -> None:
    with alertmanager(tmp_path, f"{bridge.url}/hooks/alertmanager") as url:
        bridge.wait_for(lambda: is_ready(url))
        tell(url)
        bridge.start_bridge()  # Alertmanager tries again by itself
        bridge.wait_for(lambda: len(bridge.records()) == 1)
        (record,) = bridge.records()
        assert record["short_description"] == "[Critical] DiskFull on db-07:9100"
        assert record["state"] == "1"
        tell(url, ends_at=utc_now())
        bridge.wait_for(lambda: bridge.records()[0]["state"] == "6")
    (record,) = bridge.records()
    assert record["close_notes"].startswith("Resolved in Alertmanager at ")


def finding(activity: ActivityID, status: StatusID) -> bytes:
    made = DetectionFinding(
        activity_id=activity,
        severity_id=SeverityID.High,
        severity=SeverityID.High.name,
        status_id=status,
        status=status.name,
        time=int(utc_now().timestamp() * 1000),
        type_uid=DetectionFindingTypeID(DetectionFinding.model_fields["class_uid"].default * 100 + activity),
        metadata=Metadata(product=Product(name="Doorman", vendor_name="Acme")),
        finding_info=FindingInformation(uid="det-1", title="Password spraying", desc="412 failed log-ins"),
        resources=[ResourceDetails(uid="host-1", name="vpn-02")],
        observables=[Observable(name="src_endpoint.ip", type_id=TypeID.IP_Address, value="203.0.113.77")],
    )
    return made.model_dump_json().encode()


def test_findings_of_py_ocsf_models_open_an_incident_and_close_it(bridge: Machine) -> None:
    bridge.start_bridge()

    def post(activity: ActivityID, status: StatusID) -> str:
        answer = bridge.post("ocsf-finding", finding(activity, status), Authorization=f"Bearer {SECRET}")
        (alert,) = answer.json()["alerts"]
        return f"{alert['outcome']} {alert['correlation_id']}"

    assert post(ActivityID.Create, StatusID.New) == "accepted ocsf:Doorman:det-1"
    bridge.wait_for(lambda: len(bridge.records("sn_si_incident")) == 1)
    assert post(ActivityID.Update, StatusID.InProgress) == "accepted ocsf:Doorman:det-1"
    assert post(ActivityID.Close, StatusID.Resolved) == "accepted ocsf:Doorman:det-1"
    bridge.wait_for(lambda: bridge.records("sn_si_incident")[0]["state"] == "3")
    (record,) = bridge.records("sn_si_incident")
    assert record["short_description"] == "[High] Password spraying on vpn-02"
    assert record["close_notes"] == "Doorman says Resolved."
    assert [one["value"] for one in bridge.records("sn_ti_observable")] == ["203.0.113.77"]

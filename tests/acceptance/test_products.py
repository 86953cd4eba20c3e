"""Real bodies of products, posted to a bridge that runs: sensible incidents, or a clear reason."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine, machine

ROOT = Path(__file__).resolve().parents[2]
PAYLOADS = ROOT.parent / "shared" / "payloads"
FILES = sorted(PAYLOADS.glob("*/*.json"))
BEARERS = (
    "alert",
    "alertmanager",
    "aws-securityhub",
    "azure-monitor",
    "crowdstrike",
    "defender-xdr",
    "elastic",
    "falco",
    "google-scc",
    "grafana",
    "guardduty",
    "sentinel",
    "splunk",
    "wazuh",
)
SOURCES = """\
  github: {mapping: github, auth: {scheme: hmac, preset: github, secret: {file: var/simulator.password}}}
""" + "".join(
    f"  {name}: {{mapping: {name}, auth: {{scheme: bearer, secret: {{file: var/simulator.password}}}}}}\n"
    for name in BEARERS
)
SECRET = "bridge"
SOURCE_OF = {
    "github": "github",
    "prometheus_alertmanager": "alertmanager",
    "aws_security_hub": "aws-securityhub",
    "falco": "falco",
    "splunk": "splunk",
    "azure_monitor": "azure-monitor",
    "microsoft_defender_xdr": "defender-xdr",
    "google_scc": "google-scc",
}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("products") / "bridge", SOURCES, ROOT / "mappings") as running:
        yield running


def post(bridge: Machine, source: str, body: bytes) -> list[dict[str, str]]:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Authorization": f"Bearer {SECRET}", "X-Hub-Signature-256": f"sha256={signature}"}
    answer = bridge.post(source, body, **headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["alerts"])


@pytest.mark.parametrize("path", [file for file in FILES if file.parent.name in SOURCE_OF], ids=lambda path: path.stem)
def test_a_real_body_is_accepted_by_its_own_source(bridge: Machine, path: Path) -> None:
    alerts = post(bridge, SOURCE_OF[path.parent.name], path.read_bytes())
    assert [alert["outcome"] for alert in alerts] == ["accepted"]


@pytest.mark.parametrize("source", ["github", *BEARERS])
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_any_other_body_is_kept_with_a_reason(bridge: Machine, path: Path, source: str) -> None:
    for alert in post(bridge, source, path.read_bytes()):
        assert alert["reason"]
        assert alert["outcome"] in ("accepted", "suppressed", "dropped", "quarantined")
        if source != SOURCE_OF.get(path.parent.name):
            assert alert["outcome"] in ("dropped", "quarantined")


def test_their_incidents_read_well(bridge: Machine) -> None:
    # What was resolved before anything was opened has no incident, and stays planned until it fires.
    def in_step() -> bool:
        rows = bridge.command("incidents", "list", "--limit", "100000")
        return all(
            row["failure"] is None and (row["state"] != "planned" or row["status"] == "resolved") for row in rows
        )

    bridge.wait_for(in_step)
    records = [*bridge.records("incident"), *bridge.records("sn_si_incident")]
    assert records
    for record in records:
        text = record["short_description"]
        assert text, record
        assert "None" not in text
        assert "{{" not in text
        assert record["assignment_group"], text
        assert record["description"], text
        assert {record["impact"], record["urgency"]} <= {"1", "2", "3"}, text

"""Real bodies of products at a bridge that runs: the right incident by their own source, a clear reason by others."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine import Machine, machine

ROOT = Path(__file__).resolve().parents[2]
PAYLOADS = ROOT.parent / "shared" / "payloads"
FILES = {path.relative_to(PAYLOADS).as_posix(): path for path in sorted(PAYLOADS.glob("*/*.json"))}
SECRET = "bridge"  # what `bridge init` writes into the file
MAPPINGS = sorted(path.stem for path in (ROOT / "mappings").glob("*.yaml"))
HMAC = "{scheme: hmac, preset: github, secret: {file: var/simulator.password}}"
BEARER = "{scheme: bearer, secret: {file: var/simulator.password}}"
# A source for each mapping, of its name; and one whose question is answered before any mapping sees it.
SOURCES = "".join(f"  {name}: {{mapping: {name}, auth: {HMAC if name == 'github' else BEARER}}}\n" for name in MAPPINGS)
SOURCES += f"  event-grid: {{mapping: alert, envelope: event_grid, auth: {BEARER}}}\n"


@dataclass(frozen=True, kw_only=True)
class Real:
    """What a real body becomes, by the source of its product."""

    source: str
    problem: str  # its correlation ID
    table: str = ""  # of its incident; "": it tells of an end, or of a check that passes, and opens none
    title: str = ""


def incident(source: str, problem: str, title: str) -> Real:
    return Real(source=source, problem=problem, table="incident", title=title)


def security(source: str, problem: str, title: str) -> Real:
    return Real(source=source, problem=problem, table="sn_si_incident", title=title)


def over(source: str, problem: str) -> Real:
    return Real(source=source, problem=problem)


REAL = {
    "aws_security_hub/decoy_s3_asff.json": security(
        "aws-securityhub",
        "s3.amazonaws.com:arn:aws:s3:::panther-databucket",
        "[High] Suspicious activity detected accessing private decoy S3 bucket panther-databucket"
        " on panther-databucket",
    ),
    "azure_monitor/classic_metric_activated.json": incident(
        "azure-monitor",
        "azure-monitor:/subscriptions/s1/resourceGroups/useast/providers/microsoft.insig~eebd7f81ef7d532520f6",
        "[Medium] ruleName1 on mysite1",
    ),
    "azure_monitor/common_schema_metric_resolved.json": over(
        "azure-monitor",
        "azure-monitor:3f2d4487-b0fc-4125-8bd5-7ad17384221e_PipeLineAlertRG_microsoft.in~ae0882be9f60d9cc634b",
    ),
    "cloudflare/ddos_l7_alert_doc_template.json": security(
        "cloudflare", "cloudflare:000eaa907ed24e78946d3a93adb2ae57", "[High] Example Cloudflare Notification on string"
    ),
    "falco/falcosidekick_test_input.json": incident(
        "falco", "falco:Test rule:test-host:falcosidekick", "[Info] Test rule on test-host"
    ),
    "falco/write_below_binary_dir.json": security(
        "falco", "falco:Write below binary dir:localhost:touch", "[High] Write below binary dir on localhost"
    ),
    "github/code_scanning_alert.created.json": security(
        "github",
        "Codertocat/Hello-World:code-scanning:10",
        "[High] Query built from user-controlled sources on Codertocat/Hello-World",
    ),
    "github/code_scanning_alert.fixed.json": over("github", "Codertocat/Hello-World:code-scanning:10"),
    "github/dependabot_alert.created.json": incident(
        "github",
        "wolfy1339/pika-pack:dependabot:20",
        "[Medium] semver vulnerable to Regular Expression Denial of Service on wolfy1339/pika-pack",
    ),
    "github/repository_vulnerability_alert.create.json": incident(
        "github", "Codertocat/Hello-World:GHSA-qqgx-2p2h-9c37:2", "[Medium] rack on Codertocat/Hello-World"
    ),
    "google_scc/bad_ip_scc.json": incident(
        "google-scc",
        "scc:organizations/0000000000000/sources/0000000000000000000/findings/6a30ce604c~ffd21276bc679f263172",
        "[Medium] C2: Bad IP on 000000000000",
    ),
    "google_scc/non_org_iam_member.json": security(
        "google-scc",
        "scc:organizations/1050000000008/sources/1986930501000008034/findings/047db1bc23~88650c90aaf7feb65bc8",
        "[High] NON_ORG_IAM_MEMBER on 72300000536",
    ),
    "google_scc/public_bucket_acl.json": security(
        "google-scc",
        "scc:organizations/154584661726/sources/2673592633662526977/findings/782e52631d61da6117a3772137c270d8",
        "[High] PUBLIC_BUCKET_ACL on this-is-public-on-purpose",
    ),
    "graylog/keep_mock_aggregation_event.json": security(
        "graylog", "graylog:671a28a03696bb3801a7a9f1:", "[High] Event - 1 on server"
    ),
    "microsoft_defender_xdr/advhunting_alertinfo_sentinel.json": security(
        "defender-xdr",
        "defender:0000000000-1111-2222-3333-444444444444",
        "[High] Regsvr32 Rundll32 Image Loads Abnormal Extension on an unnamed place",
    ),
    "microsoft_defender_xdr/graph_alerts_v2_mde.json": incident(
        "defender-xdr",
        "defender:da637578995287051192_756343937",
        "[Low] Suspicious execution of hidden file on tempDns",
    ),
    "prometheus_alertmanager/v4_alert.json": incident(
        "alertmanager",
        'alertmanager:{"alertname":"thing_dead","severity":"critical"}',
        "[Critical] thing_dead on an unnamed place",
    ),
    "prowler/ocsf_rc3_acm_cert.json": over(
        "prowler", "prowler:prowler-aws-acm_certificates_expiration_check-012345678912-eu-west-1-*.xxxxxxxxxxxxxx"
    ),
    "qradar/offense_multiple_login_failures.json": incident(
        "qradar", "qradar:15", "[Low] Multiple Login Failures for the Same User on Net-16-182-192.Net_182_10_0_0"
    ),
    "aws_lambda_events/cloudWatchAlarmEventSingleMetric.json": incident(
        "cloudwatch", "cloudwatch:123456789012:eu-west-1:Test alert", "[Medium] Test alert on 123456789012"
    ),
    "google_cloud_monitoring/incident_open.json": incident(
        "google-cloud-monitoring",
        "cloud-monitoring:f2e08c333dc64cb09f75eaab355393bz",
        "[Medium] Webserver Health on webserver-85",
    ),
    "google_cloud_monitoring/incident_closed.json": over(
        "google-cloud-monitoring", "cloud-monitoring:f2e08c333dc64cb09f75eaab355393bz"
    ),
    "google_cloud_monitoring/keep_mock_5xx.json": incident(
        "google-cloud-monitoring",
        "cloud-monitoring:prod-5xx-123",
        "[Medium] projects/987654/alertPolicies/5xx-policy on Production Web Cluster",
    ),
    "orca/aws_nacl.json": incident(
        "orca", "orca:orca-123456", "[Low] Network ACL Allow all Outbound ICMP IPv4 Traffic on acl-0123456789abcdef0"
    ),
    "wiz/issue_webhook_open.json": security(
        "wiz",
        "wiz:e3188a71-794c-5ee8-b97c-eb794aa5b752",
        "[High] Recon:EC2/PortProbeUnprotectedPort on jenkins-aws",
    ),
    "splunk/webhook_search_one_result.json": incident(
        "splunk", "splunk:search:sudo:myserver", "[Medium] sudo on myserver"
    ),
}
# Files, or products as a whole, that no mapping is for; each is told so by every source. What gets a mapping moves up.
NOT_MAPPED = {
    "aws_lambda_events/eventBridgeEvent.json": "no alert, but a change of a machine's state",
    "aws_lambda_events/snsEvent.json": "what AWS hands a function, with a greeting in it",
    "aws_sns": "signed by AWS; tests/unit/test_mappings.py maps the alarm in it",
    "azure_event_grid": "a question of the transport, answered below",
}
# What a form of many products is in is taken by the mapping of that form, too.
TAKEN_TOO = {"prowler/ocsf_rc3_acm_cert.json": {"ocsf-finding"}}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("products") / "bridge", SOURCES, ROOT / "mappings") as running:
        yield running


def post(bridge: Machine, source: str, file: str) -> list[dict[str, str]]:
    body = FILES[file].read_bytes()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Authorization": f"Bearer {SECRET}", "X-Hub-Signature-256": f"sha256={signature}"}
    answer = bridge.post(source, body, **headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["alerts"])


def test_every_real_body_is_accounted_for() -> None:
    products = {file: file.partition("/")[0] for file in FILES}
    assert {file for file in FILES if not {file, products[file]} & set(NOT_MAPPED)} == set(REAL)
    assert {*products, *products.values()} >= set(NOT_MAPPED)


def record_of(bridge: Machine, real: Real) -> list[dict[str, str]]:
    return [row for row in bridge.records(real.table) if row["correlation_id"] == real.problem]


@pytest.mark.parametrize("file", REAL)
def test_a_real_body_becomes_the_right_incident_by_its_own_source(bridge: Machine, file: str) -> None:
    real = REAL[file]
    (alert,) = post(bridge, real.source, file)
    assert (alert["outcome"], alert["correlation_id"]) == ("accepted", real.problem)
    if not real.table:
        return
    bridge.wait_for(lambda: bool(record_of(bridge, real)))
    (record,) = record_of(bridge, real)
    assert record["short_description"] == real.title
    assert record["assignment_group"]
    assert record["description"]
    assert "None" not in record["short_description"]
    assert "{{" not in record["description"]
    assert {record["impact"], record["urgency"]} <= {"1", "2", "3"}


@pytest.mark.parametrize("file", FILES)
def test_by_any_other_source_it_waits_and_what_it_lacks_is_named(bridge: Machine, file: str) -> None:
    own = {REAL[file].source} if file in REAL else set()
    for source in MAPPINGS:
        if source not in own | TAKEN_TOO.get(file, set()):
            for alert in post(bridge, source, file):
                assert alert["outcome"] == "quarantined", (source, alert)
                assert f"does not match the mapping {source}: it has no ." in alert["reason"]


def test_the_question_of_an_event_grid_subscription_is_answered(bridge: Machine) -> None:
    body = FILES["azure_event_grid/subscription_validation.json"].read_bytes()
    headers = {"Authorization": f"Bearer {SECRET}", "aeg-event-type": "SubscriptionValidation"}
    answer = bridge.post("event-grid", body, **headers)
    assert answer.status_code == 200
    assert answer.json()["validationResponse"].encode() in body

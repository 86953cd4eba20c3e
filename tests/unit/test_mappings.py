"""The shipped mappings: they compile, their tests pass and take every route, and real payloads come out sensibly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.alert import Severity, Status
from bridge.errors import Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.load import load_mappings
from bridge.mapping.product import filled
from bridge.mapping.trial import Trial, try_mapping

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "mappings"
MAPPINGS = load_mappings(FOLDER, sorted(path.stem for path in FOLDER.glob("*.yaml")))
TRIALS = {name: try_mapping(mapping, FOLDER) for name, mapping in MAPPINGS.items()}
PAYLOADS = ROOT.parent / "shared" / "payloads"  # real ones, not part of the project
FORMS = {"ocsf-finding"}  # of many products: takes the samples of those that have a mapping of their own, too
SAMPLES = sorted(path.name for path in (FOLDER / "samples").glob("*.json"))

by_name = pytest.mark.parametrize("name", MAPPINGS)


def _sample(name: str) -> Any:
    return json.loads((FOLDER / "samples" / name).read_text("utf-8"))


@pytest.mark.parametrize(
    "trial", [trial for ran in TRIALS.values() for trial in ran], ids=lambda t: f"{t.mapping}: {t.name}"
)
def test_a_test_of_a_mapping_passes(trial: Trial) -> None:
    assert trial.findings == ()


@by_name
def test_every_route_is_taken_by_a_test(name: str) -> None:
    taken = set().union(*(trial.routes for trial in TRIALS[name]))
    assert {route.place for route in MAPPINGS[name].routes} == taken


@by_name
def test_the_tests_see_an_opening_a_refusal_and_what_ends_it(name: str) -> None:
    text = str(MAPPINGS[name].tests)
    ending = {"close", "reopen"} if MAPPINGS[name].closing else {"update"}  # what never closes is at least told again
    expected = {"create", "quarantine"} | ending
    assert {action for action in expected if f"'action': '{action}'" in text} == expected


@by_name
def test_its_product_says_whether_a_real_body_was_seen_and_how_to_connect_it(name: str) -> None:
    product = MAPPINGS[name].product
    assert product is not None
    assert product.confirmed or product.unconfirmed
    for way in product.ways:
        steps = " ".join(filled(step, {}) for step in product.steps(way))
        assert "<url>" in steps
        assert way.name in ("sns", "oidc", "query") or "<secret>" in steps or "<header>" in steps


@by_name
def test_neither_a_computed_priority_nor_a_mail_to_the_caller_is_written(name: str) -> None:
    for (kind, table), fields in MAPPINGS[name].fields.items():
        columns = {field.column for field in fields}
        assert "comments" not in columns, (kind, table)
        assert table != "itsm" or "priority" not in columns, (kind, table)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_of_one_mapping_and_is_used_by_its_tests(sample: str) -> None:
    takers = [name for name, mapping in MAPPINGS.items() if _matches(mapping, _sample(sample))]
    own = [name for name in takers if name not in FORMS] or takers
    assert len(own) == 1
    assert f"samples/{sample}" in str(MAPPINGS[own[0]].tests)


def _matches(mapping: Mapping, document: Any) -> bool:
    try:
        mapping.split(document)
    except Unmappable:
        return False
    return True


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"alerts": [one]}])
@pytest.mark.parametrize("sample", ["elastic-powershell.json", "elastic-nested.json"])
def test_elastic_takes_one_alert_an_array_and_the_recommended_wrapping(sample: str, wrap: Any) -> None:
    alert = _sample(sample)
    elements, more = MAPPINGS["elastic"].split(wrap(alert))
    assert (elements, more) == ([alert], False)


def test_an_alertmanager_alert_that_is_sent_again_after_a_resolve_is_not_older_than_it() -> None:
    """Alertmanager resolves what it has not heard of for a while; the alert then returns with the startsAt it had."""
    mapping = MAPPINGS["alertmanager"]
    firing = _sample("alertmanager-group.json")["alerts"][0]
    resolved = {**firing, "status": "resolved", "endsAt": "2026-03-13T03:00:00Z"}
    before, after = mapping.map(firing), mapping.map(resolved)
    assert (before.status, after.status) == (Status.FIRING, Status.RESOLVED)
    assert before.event_time == after.event_time is not None


def test_a_github_alert_that_is_opened_again_is_not_older_than_its_dismissal() -> None:
    mapping = MAPPINGS["github"]
    body = _sample("github-code-scanning.json")
    del body["alert"]["updated_at"]
    dismissed = {**body, "alert": {**body["alert"], "state": "dismissed", "dismissed_at": "2026-03-10T00:00:00Z"}}
    assert (mapping.map(dismissed).event_time, mapping.map(body).event_time) == (None, None)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("open", Status.FIRING),
        ("fixed", Status.RESOLVED),
        ("dismissed", Status.RESOLVED),
        ("auto_dismissed", Status.RESOLVED),
    ],
)
def test_github_states(state: str, status: Status) -> None:
    body = _sample("github-dependabot.json")
    body["alert"]["state"] = state
    assert MAPPINGS["github"].map(body).status is status


REAL = {
    "falco/falcosidekick_test_input.json": (
        "falco",
        "falco:Test rule:test-host:falcosidekick",
        Severity.INFO,
        Status.FIRING,
        "itsm",
    ),
    "falco/write_below_binary_dir.json": (
        "falco",
        "falco:Write below binary dir:localhost:touch",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "google_scc/bad_ip_scc.json": (
        "google-scc",
        "scc:organizations/0000000000000/sources/0000000000000000000/findings/6a30ce604c~ffd21276bc679f263172",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "google_scc/non_org_iam_member.json": (
        "google-scc",
        "scc:organizations/1050000000008/sources/1986930501000008034/findings/047db1bc23~88650c90aaf7feb65bc8",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "google_scc/public_bucket_acl.json": (
        "google-scc",
        "scc:organizations/154584661726/sources/2673592633662526977/findings/782e52631d61da6117a3772137c270d8",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "aws_lambda_events/cloudWatchAlarmEventSingleMetric.json": (
        "cloudwatch",
        "cloudwatch:123456789012:eu-west-1:Test alert",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "google_cloud_monitoring/incident_open.json": (
        "google-cloud-monitoring",
        "cloud-monitoring:f2e08c333dc64cb09f75eaab355393bz",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "google_cloud_monitoring/incident_closed.json": (
        "google-cloud-monitoring",
        "cloud-monitoring:f2e08c333dc64cb09f75eaab355393bz",
        Severity.MEDIUM,
        Status.RESOLVED,
        "itsm",
    ),
    "google_cloud_monitoring/keep_mock_5xx.json": (
        "google-cloud-monitoring",
        "cloud-monitoring:prod-5xx-123",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "orca/aws_nacl.json": ("orca", "orca:orca-123456", Severity.LOW, Status.FIRING, "itsm"),
    "wiz/issue_webhook_open.json": (
        "wiz",
        "wiz:e3188a71-794c-5ee8-b97c-eb794aa5b752",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "azure_monitor/classic_metric_activated.json": (
        "azure-monitor",
        "azure-monitor:/subscriptions/s1/resourceGroups/useast/providers/microsoft.insig~eebd7f81ef7d532520f6",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "azure_monitor/common_schema_metric_resolved.json": (
        "azure-monitor",
        "azure-monitor:3f2d4487-b0fc-4125-8bd5-7ad17384221e_PipeLineAlertRG_microsoft.in~ae0882be9f60d9cc634b",
        Severity.LOW,
        Status.RESOLVED,
        "itsm",
    ),
    "microsoft_defender_xdr/advhunting_alertinfo_sentinel.json": (
        "defender-xdr",
        "defender:0000000000-1111-2222-3333-444444444444",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "microsoft_defender_xdr/graph_alerts_v2_mde.json": (
        "defender-xdr",
        "defender:da637578995287051192_756343937",
        Severity.LOW,
        Status.FIRING,
        "itsm",
    ),
    "splunk/webhook_search_one_result.json": (
        "splunk",
        "splunk:search:sudo:myserver",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "aws_security_hub/decoy_s3_asff.json": (
        "aws-securityhub",
        "s3.amazonaws.com:arn:aws:s3:::panther-databucket",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "github/code_scanning_alert.created.json": (
        "github",
        "Codertocat/Hello-World:code-scanning:10",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "github/code_scanning_alert.fixed.json": (
        "github",
        "Codertocat/Hello-World:code-scanning:10",
        Severity.HIGH,
        Status.RESOLVED,
        "sir",
    ),
    "github/dependabot_alert.created.json": (
        "github",
        "wolfy1339/pika-pack:dependabot:20",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "github/repository_vulnerability_alert.create.json": (
        "github",
        "Codertocat/Hello-World:GHSA-qqgx-2p2h-9c37:2",
        Severity.MEDIUM,
        Status.FIRING,
        "itsm",
    ),
    "prowler/ocsf_rc3_acm_cert.json": (  # a check that passes
        "prowler",
        "prowler:prowler-aws-acm_certificates_expiration_check-012345678912-eu-west-1-*.xxxxxxxxxxxxxx",
        Severity.HIGH,
        Status.RESOLVED,
        "itsm",
    ),
    "graylog/keep_mock_aggregation_event.json": (
        "graylog",
        "graylog:671a28a03696bb3801a7a9f1:",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "cloudflare/ddos_l7_alert_doc_template.json": (
        "cloudflare",
        "cloudflare:000eaa907ed24e78946d3a93adb2ae57",
        Severity.HIGH,
        Status.FIRING,
        "sir",
    ),
    "qradar/offense_multiple_login_failures.json": ("qradar", "qradar:15", Severity.LOW, Status.FIRING, "itsm"),
    "prometheus_alertmanager/v4_alert.json": (
        "alertmanager",
        'alertmanager:{"alertname":"thing_dead","severity":"critical"}',
        Severity.CRITICAL,
        Status.FIRING,
        "itsm",
    ),
}


if PAYLOADS.is_dir():  # not skipped elsewhere: the payloads are no part of the project

    @pytest.mark.parametrize("file", REAL)
    def test_a_real_payload_becomes_a_sensible_alert(file: str) -> None:
        name, correlation_id, severity, status, target = REAL[file]
        mapping = MAPPINGS[name]
        (element,), _ = mapping.split(json.loads((PAYLOADS / file).read_text("utf-8")))
        mapped = mapping.map(element)
        assert (mapped.correlation_id, mapped.severity, mapped.status, mapped.target) == (
            correlation_id,
            severity,
            status,
            target,
        )

    def test_a_real_alarm_within_a_notification_of_sns() -> None:
        envelope = json.loads((PAYLOADS / "aws_sns/notification_cloudwatch_alarm.json").read_text("utf-8"))
        mapped = MAPPINGS["cloudwatch"].map(json.loads(envelope["Message"]))
        assert mapped.correlation_id == "cloudwatch:1234567890:EU (Ireland):bucketbytesAlarm"
        assert (mapped.status, mapped.target) == (Status.FIRING, "itsm")

    def test_no_mapping_takes_a_real_payload_of_another_product() -> None:
        taken = {
            path.relative_to(PAYLOADS).as_posix()
            for path in PAYLOADS.rglob("*.json")
            for mapping in MAPPINGS.values()
            if _matches(mapping, json.loads(path.read_text("utf-8")))
        }
        assert taken == set(REAL)

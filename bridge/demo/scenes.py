"""The scenes, in order. Each posts alerts, waits until ServiceNow shows what it must, and says what happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bridge.alert import Json
from bridge.demo.world import World
from bridge.errors import Permanent

Scene = Callable[[World, datetime], str]


def five_alerts_one_incident(world: World, now: datetime) -> str:
    for minute in range(5):
        world.post("alertmanager", _node("DiskAlmostFull", "db-07", now, f"{95 + minute} % full"))
    world.wait_for("the incident", lambda: len(world.records("incident", "DiskAlmostFull")) == 1)
    world.wait_for("all five alerts", lambda: _alerts(world, _number(world, "incident", "DiskAlmostFull")) == 5)
    return f"5 alerts of one problem are 1 incident: {_number(world, 'incident', 'DiskAlmostFull')}"


def the_same_delivery_again(world: World, now: datetime) -> str:
    alert = _node("CertificateExpires", "web-02", now, "in 3 days")
    answers = [world.post("alertmanager", alert) for _ in range(3)]
    told = [answer["duplicate"] for answer in answers]
    _must(told == [False, True, True], f"duplicate: {told}")
    world.wait_for("the incident", lambda: len(world.records("incident", "CertificateExpires")) == 1)
    return "the same delivery three times has one effect; the sender gets the first answer again"


def a_rise_updates(world: World, now: datetime) -> str:
    world.post("elastic", _powershell(now, "medium"))
    world.wait_for("the incident", lambda: len(_powershells(world)) == 1)
    before = _powershells(world)[0]
    world.post("elastic", _powershell(now + timedelta(seconds=1), "critical"))
    world.wait_for("the rise", lambda: "[Critical]" in _powershells(world)[0]["short_description"])
    after = _powershells(world)[0]
    return f"a severity rise updates {after['number']}: priority {before['priority']} became {after['priority']}"


def a_resolve_closes(world: World, now: datetime) -> str:
    world.post("github", _injection(now, "open"), delivery="demo-1")
    world.wait_for("the incident", lambda: len(world.records("sn_si_incident", "SQL")) == 1)
    world.post("github", _injection(now + timedelta(seconds=1), "fixed"), delivery="demo-2")
    world.wait_for("the close", lambda: world.state("sn_si_incident", "SQL") == "Closed")
    return f"the source says fixed: {_number(world, 'sn_si_incident', 'SQL')} is closed"


def a_return_reopens(world: World, now: datetime) -> str:
    world.post("github", _injection(now + timedelta(seconds=2), "open"), delivery="demo-3")
    world.wait_for("the reopening", lambda: world.state("sn_si_incident", "SQL") != "Closed")
    _must(len(world.records("sn_si_incident", "SQL")) == 1, "a second incident was opened")
    return f"the source reports it again: {_number(world, 'sn_si_incident', 'SQL')} is reopened"


def a_person_is_heeded(world: World, now: datetime) -> str:
    world.post("aws-securityhub", _bucket(now, "FAILED"))
    world.wait_for("the incident", lambda: len(world.records("incident", "S3 buckets")) == 1)
    record = world.records("incident", "S3 buckets")[0]
    world.person("incident", record["sys_id"], assigned_to="analyst", state="2")
    world.post("aws-securityhub", _bucket(now + timedelta(seconds=1), "PASSED"))
    world.wait_for("the note", lambda: "left to you" in world.records("incident", "S3 buckets")[0]["work_notes"])
    _must(world.state("incident", "S3 buckets") == "In Progress", "the bridge closed what a person works on")
    return (
        f"an analyst has taken {record['number']}: the resolve is told in a work note, the incident is theirs to close"
    )


def quarantine_drains(world: World, now: datetime) -> str:
    alert = {"rule": "Odd log-in", "host": "vpn-01", "severity": "high", "status": "firing", "time": _stamp(now)}
    answer = world.post("try", alert)["alerts"][0]
    _must(answer["outcome"] == "quarantined", f"outcome: {answer['outcome']}")
    _must([row["id"] for row in world.command("quarantine", "list")] == [answer["alert"]], "it is not in quarantine")
    _must(not world.records("incident", "Odd log-in"), "it became an incident")
    world.mend_mapping()
    world.wait_for("quarantine to drain", lambda: not world.command("quarantine", "list"))
    world.wait_for("the incident", lambda: len(world.records("incident", "Odd log-in")) == 1)
    why = answer["reason"].partition(":")[0]
    number = _number(world, "incident", "Odd log-in")
    return f"a mapping with a mistake: the alert waits in quarantine ({why}); mended, it drains into {number}"


def servicenow_down_loses_nothing(world: World, now: datetime) -> str:
    before = world.calls_not_applied()
    world.servicenow_down(4)
    world.wait_for("ServiceNow to go down", lambda: not world.servicenow_answers())
    for number in range(4):
        world.post("alertmanager", _node(f"WhileDown{number}", "app-01", now, "still accepted"))
    world.wait_for("ServiceNow to be missed", lambda: world.calls_not_applied() > before)
    world.wait_for("ServiceNow to return", world.servicenow_answers)
    world.wait_for("the four incidents", lambda: len(world.records("incident", "WhileDown")) == 4, 30)
    return "ServiceNow was down for 4 seconds: 4 alerts were accepted meanwhile, and are 4 incidents now"


def one_incident_each(world: World, _now: datetime) -> str:
    known = [row["correlation_id"] for row in world.command("incidents", "list")]
    made = world.correlation_ids()
    _must(sorted(made) == sorted(known), f"known: {sorted(known)}, in ServiceNow: {sorted(made)}")
    return f"counted in ServiceNow: {len(known)} problems, {len(made)} incidents; none is missing, none is there twice"


def the_log_verifies(world: World, _now: datetime) -> str:
    exported = world.export("log.jsonl")
    said = world.verdict(exported)
    _must(said["verified"], " ".join(said["says"]))
    altered = exported.with_name("altered.jsonl")
    altered.write_bytes(exported.read_bytes().replace(b"source:elastic", b"source:elastik", 1))
    _must(not world.verdict(altered)["verified"], "one letter of the log was changed, and nobody noticed")
    return f"the log, {said['entries']} entries, verifies with its public key alone; one changed letter is found"


SCENES: tuple[Scene, ...] = (
    five_alerts_one_incident,
    the_same_delivery_again,
    a_rise_updates,
    a_resolve_closes,
    a_return_reopens,
    a_person_is_heeded,
    quarantine_drains,
    servicenow_down_loses_nothing,
    one_incident_each,
    the_log_verifies,
)


def _must(true: bool, otherwise: str) -> None:
    if not true:
        raise Permanent("demo_untrue", otherwise)


def _number(world: World, table: str, words: str) -> str:
    return world.records(table, words)[0]["number"]


def _powershells(world: World) -> list[dict[str, str]]:
    return [*world.records("incident", "PowerShell"), *world.records("sn_si_incident", "PowerShell")]


def _alerts(world: World, number: str) -> int:
    return sum(int(row["count"]) for row in world.command("incidents", "list") if row["number"] == number)


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _node(name: str, host: str, now: datetime, summary: str) -> Json:
    labels = {"alertname": name, "instance": f"{host}:9100", "severity": "warning", "team": "Platform"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{name} on {host}: {summary}"},
        "startsAt": _stamp(now),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.corp.example/graph",
        "fingerprint": hashlib.sha256(f"{name} {host}".encode()).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": name,
        "status": "firing",
        "receiver": "bridge",
        "alerts": [alert],
    }


def _powershell(now: datetime, severity: str) -> Json:
    return {
        "@timestamp": _stamp(now),
        "kibana.alert.uuid": "5d1f0a",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.severity": severity,
        "kibana.alert.risk_score": 47,
        "kibana.alert.rule.rule_id": "852c1f19",
        "kibana.alert.rule.name": "Suspicious PowerShell",
        "kibana.alert.url": "https://kibana.corp.example/alerts/5d1f0a",
        "host": {"hostname": "WKS-0421"},
        "user": {"domain": "CORP", "name": "j.doe"},
        "process": {"command_line": "powershell -enc SQBFAFgA"},
    }


def _injection(now: datetime, state: str) -> Json:
    return {
        "action": "created" if state == "open" else state,
        "alert": {
            "number": 12,
            "state": state,
            "updated_at": _stamp(now),
            "html_url": "https://github.com/acme/shop/security/code-scanning/12",
            "rule": {
                "id": "py/sql-injection",
                "severity": "error",
                "security_severity_level": "high",
                "description": "SQL query built from user-controlled sources",
            },
            "tool": {"name": "CodeQL"},
            "most_recent_instance": {"location": {"path": "shop/cart.py", "start_line": 84}},
        },
        "repository": {"full_name": "acme/shop"},
    }


def _bucket(now: datetime, compliance: str) -> Json:
    finding = {
        "Id": "arn:aws:securityhub:eu-west-1:210987654321:finding/1",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
        "GeneratorId": "security-control/S3.8",
        "AwsAccountId": "210987654321",
        "Title": "S3 buckets should block public access",
        "Description": "This control checks that public access is blocked at the bucket.",
        "Severity": {"Label": "HIGH"},
        "Compliance": {"Status": compliance, "SecurityControlId": "S3.8"},
        "Resources": [
            {"Id": "arn:aws:s3:::invoices", "Type": "AwsS3Bucket", "Region": "eu-west-1", "Tags": {"team": "Payments"}}
        ],
        "UpdatedAt": _stamp(now),
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
    }
    return {
        "detail-type": "Security Hub Findings - Imported",
        "source": "aws.securityhub",
        "detail": {"findings": [finding]},
    }

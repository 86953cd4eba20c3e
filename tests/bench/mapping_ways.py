"""The two examples of the mapping language computed in other ways: hand-written Python, jmespath, jinja2's sandbox.

Each takes one alert of its example and gives the same answer: correlation ID, severity, route, group, fields of the
create and observables. None of them checks `match`, reads times, suppresses, joins, bounds what it makes, or survives
an alert of another shape, as the bridge does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jmespath
from jinja2.sandbox import SandboxedEnvironment
from jmespath.functions import Functions, signature

Way = Callable[[Any], dict[str, Any]]

FLOOR = "hand-written Python"  # what the others are compared with

LEVELS = ("critical", "high", "medium", "low", "info")
PRIORITIES = {"critical": "1", "high": "2", "medium": "3"}
URGENCIES = {"critical": "1", "high": "1", "medium": "2"}
TEAMS = {"wks-0421": "Payments", "wks-0422": "Sales, EMEA"}
ACCOUNTS = {"012345678901": ("prod", "Payments"), "210987654321": ("dev", "Platform")}


# --- hand-written Python


def elastic_python(alert: Any) -> dict[str, Any]:
    get, process = alert.get, alert["process"]
    rule_id, rule, host = get("kibana.alert.rule.rule_id"), get("kibana.alert.rule.name"), alert["host"]["hostname"]
    severity = get("kibana.alert.severity")
    if severity not in LEVELS[:4]:
        severity = "medium"
    if severity != "critical" and (get("kibana.alert.risk_score") or 0) >= 90:
        severity = "critical"
    if severity in ("critical", "high"):
        route, group = "sir", "SOC L2"
    elif alert["labels"]["env"] in ("dev", "test"):
        route, group = None, None
    else:
        route, group = "itsm", TEAMS.get(host.lower(), "SOC L1")
    user = f"{alert['user']['domain']}\\{alert['user']['name']}"
    techniques = ", ".join(dict.fromkeys(one["id"] for threat in alert["threat"] for one in threat["technique"]))
    return {
        "correlation_id": f"{rule_id}:{host or get('kibana.alert.uuid')}",
        "severity": severity,
        "route": route,
        "assignment_group": group,
        "short_description": f"[{severity.title()}] {rule} on {host or 'an unknown host'}",
        "description": f"Host: {host}   User: {user}\nCommand: {process['command_line'][:800]}\n"
        f"ATT&CK: {techniques or 'none'}\nConsole: {get('kibana.alert.url')}",
        "cmdb_ci": host,
        "u_detection_rule": rule_id,
        "category": "Malicious code activity",
        "priority": PRIORITIES.get(severity, "4"),
        "observables": [alert["source"]["ip"], alert["destination"]["ip"], process["hash"]["sha256"], user],
    }


def securityhub_python(finding: Any) -> dict[str, Any]:
    severity = finding["Severity"]["Label"].lower()
    severity = "info" if severity == "informational" else severity if severity in LEVELS[:4] else "low"
    account, resource = finding["AwsAccountId"], finding["Resources"][0]
    arn, kind = resource["Id"], resource["Type"]
    control = finding["Compliance"]["SecurityControlId"] or finding["GeneratorId"]
    env, team = ACCOUNTS.get(account, ("prod", "Cloud Security"))
    if env in ("dev", "sandbox") and severity != "info":
        severity = "low"
    if severity == "critical" and kind in ("AwsIamUser", "AwsIamRole", "AwsIamAccessKey"):
        route, group = "sir", "SOC L2"
    elif severity in ("critical", "high", "medium"):
        route, group = "itsm", resource.get("Tags", {}).get("team") or team
    else:
        route, group = None, None
    fix = finding["Remediation"]["Recommendation"]["Url"] or "see the control's page"
    return {
        "correlation_id": f"{control}:{arn}",
        "severity": severity,
        "route": route,
        "assignment_group": group,
        "short_description": f"{control} {finding['Title'][:120]}: {arn.rpartition(':')[2]} ({account})",
        "description": f"{finding['Description']}\nResource: {arn} ({kind}, {resource['Region']})\nFix: {fix}",
        "cmdb_ci": arn.rpartition("/")[2],
        "u_cloud_account": account,
        "category": "cloud",
        "impact": {"prod": "1", "stage": "2"}.get(env, "3"),
        "urgency": URGENCIES.get(severity, "3"),
        "observables": [*(one["Id"] for one in finding["Resources"]), account],
    }


# --- jmespath: one expression, compiled once; what it has no function for is given to it


class Ours(Functions):  # type: ignore[misc]
    @signature({"types": ["string"]})
    def _func_title(self, text: str) -> str:
        return text.title()

    @signature({"types": ["string"]}, {"types": ["number"]})
    def _func_truncate(self, text: str, length: int) -> str:
        return text[:length]

    @signature({"types": ["string"]}, {"types": ["string"]})
    def _func_last(self, text: str, separator: str) -> str:
        return text.rpartition(separator)[2]

    @signature({"types": ["array"]})
    def _func_unique(self, values: list[str]) -> list[str]:
        return list(dict.fromkeys(values))

    @signature({"types": ["string"]})
    def _func_team(self, host: str) -> str | None:
        return TEAMS.get(host.lower())

    @signature({"types": ["string"]})
    def _func_account(self, account: str) -> dict[str, str]:
        env, team = ACCOUNTS.get(account, ("prod", "Cloud Security"))
        return {"env": env, "team": team}


OPTIONS = jmespath.Options(custom_functions=Ours())

ELASTIC_JMESPATH = jmespath.compile(r"""
{
  rule_id: "kibana.alert.rule.rule_id", rule: "kibana.alert.rule.name", uuid: "kibana.alert.uuid",
  risk: "kibana.alert.risk_score", level: "kibana.alert.severity", host: host.hostname || host.name,
  user: join(`"\\"`, [user.domain, user.name]), command: truncate(process.command_line, `800`),
  techniques: join(', ', unique(threat[].technique[].id)), url: "kibana.alert.url", env: labels.env,
  observed: [source.ip, destination.ip, process.hash.sha256]
}
| merge(@, {severity: (risk >= `90` && 'critical')
    || (contains(['critical', 'high', 'medium', 'low'], level) && level) || 'medium'})
| merge(@, {urgent: severity == 'critical' || severity == 'high', dropped: contains(['dev', 'test'], env)})
| {
  correlation_id: join(':', [rule_id, host || uuid]),
  severity: severity,
  route: urgent && 'sir' || (!dropped && 'itsm' || `null`),
  assignment_group: urgent && 'SOC L2' || (!dropped && (team(host) || 'SOC L1') || `null`),
  short_description: join('', ['[', title(severity), '] ', rule, ' on ', host || 'an unknown host']),
  description: join('', ['Host: ', host, '   User: ', user, '
Command: ', command, '
ATT&CK: ', techniques || 'none', '
Console: ', url]),
  cmdb_ci: host,
  u_detection_rule: rule_id,
  category: 'Malicious code activity',
  priority: (severity == 'critical' && '1') || (severity == 'high' && '2') || (severity == 'medium' && '3') || '4',
  observables: [observed, [user]][]
}
""")

SECURITYHUB_JMESPATH = jmespath.compile(r"""
{
  control: Compliance.SecurityControlId || GeneratorId, title: truncate(Title, `120`), account: AwsAccountId,
  region: Resources[0].Region || Region, resource: Resources[0].Id, kind: Resources[0].Type,
  row: account(AwsAccountId), tagged: Resources[0].Tags.team, fix: Remediation.Recommendation.Url, text: Description,
  label: Severity.Label, arns: Resources[].Id
}
| merge(@, {level: (label == 'CRITICAL' && 'critical') || (label == 'HIGH' && 'high') || (label == 'MEDIUM' && 'medium')
    || (label == 'INFORMATIONAL' && 'info') || 'low'})
| merge(@, {severity: (level != 'info' && contains(['dev', 'sandbox'], row.env) && 'low') || level})
| merge(@, {
  urgent: severity == 'critical' && contains(['AwsIamUser', 'AwsIamRole', 'AwsIamAccessKey'], kind),
  told: contains(['critical', 'high', 'medium'], severity)
})
| {
  correlation_id: join(':', [control, resource]),
  severity: severity,
  route: urgent && 'sir' || (told && 'itsm' || `null`),
  assignment_group: urgent && 'SOC L2' || (told && (tagged || row.team) || `null`),
  short_description: join('', [control, ' ', title, ': ', last(resource, ':'), ' (', account, ')']),
  description: join('', [text, '
Resource: ', resource, ' (', kind, ', ', region, ')
Fix: ', fix || 'see the control\'s page']),
  cmdb_ci: last(resource, '/'),
  u_cloud_account: account,
  category: 'cloud',
  impact: (row.env == 'prod' && '1') || (row.env == 'stage' && '2') || '3',
  urgency: (contains(['critical', 'high'], severity) && '1') || (severity == 'medium' && '2') || '3',
  observables: [arns, [account]][]
}
""")


# --- jinja2: one template in the sandbox, compiled once; its answer is what it sets

SANDBOX = SandboxedEnvironment()
SANDBOX.globals |= {"TEAMS": TEAMS, "ACCOUNTS": ACCOUNTS, "PRIORITIES": PRIORITIES, "URGENCIES": URGENCIES}

ELASTIC_JINJA = SANDBOX.from_string(r"""
{%- set u_detection_rule = alert["kibana.alert.rule.rule_id"] -%}
{%- set _host = alert.host.hostname or alert.host.name -%}
{%- set _user = alert.user.domain ~ "\\" ~ alert.user.name -%}
{%- set _techniques = alert.threat | map(attribute="technique") | sum(start=[]) | map(attribute="id") | unique -%}
{%- set _level = alert["kibana.alert.severity"] -%}
{%- set _severity = _level if _level in ("critical", "high", "medium", "low") else "medium" -%}
{%- set severity = "critical" if alert["kibana.alert.risk_score"] >= 90 else _severity -%}
{%- set correlation_id = u_detection_rule ~ ":" ~ (_host or alert["kibana.alert.uuid"]) -%}
{%- if severity in ("critical", "high") -%}
  {%- set route, assignment_group = "sir", "SOC L2" -%}
{%- elif alert.labels.env in ("dev", "test") -%}
  {%- set route, assignment_group = none, none -%}
{%- else -%}
  {%- set route, assignment_group = "itsm", TEAMS.get(_host | lower, "SOC L1") -%}
{%- endif -%}
{%- set short_description -%}
[{{ severity | title }}] {{ alert["kibana.alert.rule.name"] }} on {{ _host or "an unknown host" }}
{%- endset -%}
{%- set description -%}
Host: {{ _host }}   User: {{ _user }}
Command: {{ alert.process.command_line[:800] }}
ATT&CK: {{ _techniques | join(", ") or "none" }}
Console: {{ alert["kibana.alert.url"] }}
{%- endset -%}
{%- set cmdb_ci, category = _host, "Malicious code activity" -%}
{%- set priority = PRIORITIES.get(severity, "4") -%}
{%- set observables = [alert.source.ip, alert.destination.ip, alert.process.hash.sha256, _user] -%}
""")

SECURITYHUB_JINJA = SANDBOX.from_string(r"""
{%- set _resource, u_cloud_account = alert.Resources[0], alert.AwsAccountId -%}
{%- set _control = alert.Compliance.SecurityControlId or alert.GeneratorId -%}
{%- set _row = ACCOUNTS.get(u_cloud_account, ("prod", "Cloud Security")) -%}
{%- set _label = alert.Severity.Label | lower -%}
{%- set _known = _label if _label in ("critical", "high", "medium") else "low" -%}
{%- set _level = "info" if _label == "informational" else _known -%}
{%- set severity = "low" if _level != "info" and _row[0] in ("dev", "sandbox") else _level -%}
{%- set correlation_id = _control ~ ":" ~ _resource.Id -%}
{%- if severity == "critical" and _resource.Type in ("AwsIamUser", "AwsIamRole", "AwsIamAccessKey") -%}
  {%- set route, assignment_group = "sir", "SOC L2" -%}
{%- elif severity in ("critical", "high", "medium") -%}
  {%- set route, assignment_group = "itsm", (_resource.Tags or {}).team or _row[1] -%}
{%- else -%}
  {%- set route, assignment_group = none, none -%}
{%- endif -%}
{%- set short_description -%}
{{ _control }} {{ alert.Title[:120] }}: {{ _resource.Id.split(":")[-1] }} ({{ u_cloud_account }})
{%- endset -%}
{%- set description -%}
{{ alert.Description }}
Resource: {{ _resource.Id }} ({{ _resource.Type }}, {{ _resource.Region or alert.Region }})
Fix: {{ alert.Remediation.Recommendation.Url or "see the control's page" }}
{%- endset -%}
{%- set cmdb_ci, category = _resource.Id.split("/")[-1], "cloud" -%}
{%- set impact = {"prod": "1", "stage": "2"}.get(_row[0], "3") -%}
{%- set urgency = URGENCIES.get(severity, "3") -%}
{%- set observables = alert.Resources | map(attribute="Id") | list + [u_cloud_account] -%}
""")


def _jmespath(expression: Any) -> Way:
    return lambda alert: expression.search(alert, options=OPTIONS)  # type: ignore[no-any-return]


def _jinja(template: Any) -> Way:
    return lambda alert: template.make_module({"alert": alert}).__dict__  # type: ignore[no-any-return]


WAYS: Mapping[str, Mapping[str, Way]] = {
    "elastic": {
        FLOOR: elastic_python,
        "jmespath": _jmespath(ELASTIC_JMESPATH),
        "jinja2, sandboxed": _jinja(ELASTIC_JINJA),
    },
    "aws-securityhub": {
        FLOOR: securityhub_python,
        "jmespath": _jmespath(SECURITYHUB_JMESPATH),
        "jinja2, sandboxed": _jinja(SECURITYHUB_JINJA),
    },
}

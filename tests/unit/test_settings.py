"""bridge.yaml: what a good file means, and what a bad one is told."""

# ruff: noqa: E501 (rows of tables)

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bridge.correlation.policy import CloseWhen
from bridge.errors import Misconfigured, Problem
from bridge.mapping.model import ENRICHMENTS
from bridge.settings import (
    AnchorFile,
    AnchorSyslog,
    Attention,
    AuthScheme,
    Instance,
    InstanceAuth,
    Limits,
    Mode,
    Retention,
    Secret,
    Settings,
    Staging,
    Transport,
    Write,
    load_settings,
)
from bridge.settings.targets import PRESETS

GOOD = """\
database: sqlite:///var/store.db
mappings: {path: maps, reload: auto}
server: {threads: 12}
log:
  signing_key: {file: keys/log.key}
  anchors:
    - {file: var/anchors.log}
    - {syslog: "tcp://Logs.example", tls: true, ca: ca.pem}
    - {syslog: "tcp://[::1]:1514"}
    - {syslog: "udp://10.1.2.3"}
instances:
  corp:
    url: https://Corp.service-now.example/
    environment: test
    auth: {scheme: basic, username: svc.bridge, password: {file: keys/corp}}
    limits: {calls_per_hour: 900, concurrent_calls: 3}
  local:
    url: http://127.0.0.1:8180
    auth: {scheme: basic, username: {env: LOCAL_USER}, password: {env: LOCAL_PASSWORD}}
targets:
  tickets:
    instance: corp
    table: incident
    write: table
    mode: observe
    tenant: blue
    defaults: {caller_id: svc.bridge, impact: 2}
    close: {code: "Resolved by caller", notes: "Gone.", when: always}
    reopen_state: 2
    false_positive_codes: [Known error, 17]
    max_creates_per_hour: 40
    late_commit: 15m
    adopt: any
  security: {instance: local, table: sn_si_incident, close: {code: 102}}
sources:
  try: {mapping: try, auth: {scheme: none}}
  edr: {mapping: edr, tenant: blue, body_bytes_max: 4096, auth: {scheme: bearer, secret: {env: EDR_TOKEN}}}
  waf: {mapping: waf, auth: {scheme: header, name: X-Waf-Key, secret: {file: /etc/waf}}}
  forge: {mapping: forge, auth: {scheme: hmac, preset: github, secret: [{env: NEW}, {env: OLD}]}}
  hooks: {mapping: hooks, auth: {scheme: standard_webhooks, secret: {env: WHSEC}}}
"""


def load(folder: Path, text: str) -> Settings:
    file = folder / "bridge.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def problems(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(Misconfigured) as caught:
        load(folder, text)
    return caught.value.problems


def told(folder: Path, text: str) -> str:
    return "\n".join(str(problem) for problem in problems(folder, text))


@pytest.fixture
def good(tmp_path: Path) -> Settings:
    return load(tmp_path, GOOD)


def test_relative_paths_are_relative_to_the_file(good: Settings, tmp_path: Path) -> None:
    assert good.database == f"sqlite:///{tmp_path}/var/store.db"
    assert good.mappings_path == tmp_path / "maps"
    assert good.signing_keys == (tmp_path / "keys/log.key",)
    assert good.instances["corp"].auth.password == Secret(kind="file", name=f"{tmp_path}/keys/corp")


def test_anchors_are_files_and_collectors_each_with_a_name(good: Settings, tmp_path: Path) -> None:
    assert good.anchors == (
        AnchorFile(name="file:var/anchors.log", path=tmp_path / "var/anchors.log"),
        AnchorSyslog(
            name="syslog:logs.example:6514", host="logs.example", port=6514, transport="tls", ca=tmp_path / "ca.pem"
        ),
        AnchorSyslog(name="syslog:[::1]:1514", host="::1", port=1514, transport="tcp"),
        AnchorSyslog(name="syslog:10.1.2.3:514", host="10.1.2.3", port=514, transport="udp"),
    )


def test_the_log_has_no_anchor_unless_one_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, "log: {signing_key: {file: k}, anchors: []}\n").anchors == ()
    assert load(tmp_path, "log: {signing_key: {file: k}}\n").anchors == ()


def test_two_keys_sign_during_rotation_the_newest_first(tmp_path: Path) -> None:
    settings = load(tmp_path, "log: {signing_key: [{file: new.key}, {file: old.key}]}\n")
    assert settings.signing_keys == (tmp_path / "new.key", tmp_path / "old.key")


def test_an_absolute_path_stays(good: Settings) -> None:
    assert good.sources["waf"].auth.secrets == (Secret(kind="file", name="/etc/waf"),)


def test_an_instance_is_its_url_without_more_its_account_and_its_limits(good: Settings) -> None:
    corp, local = good.instances["corp"], good.instances["local"]
    assert (corp.url, corp.auth.username, corp.limits) == (
        "https://corp.service-now.example",
        "svc.bridge",
        Limits(calls_per_hour=900, concurrent_calls=3),
    )
    assert (local.url, local.auth.username) == ("http://127.0.0.1:8180", Secret(kind="env", name="LOCAL_USER"))


def test_a_target_is_read_with_all_its_keys(good: Settings) -> None:
    target = good.targets["tickets"]
    assert (target.mode, target.tenant, target.adopt_any) == (Mode.OBSERVE, "blue", True)
    assert target.defaults == (("caller_id", "svc.bridge"), ("impact", "2"))
    assert (target.reopen_state, target.false_positive_codes) == ("2", ("Known error", "17"))
    assert (target.max_creates_per_hour, target.late_commit) == (40, timedelta(minutes=15))
    assert target.close is not None
    assert (target.close.state, target.close.code, target.close.when) == ("6", "Resolved by caller", CloseWhen.ALWAYS)


def test_the_state_that_closes_follows_from_the_table(good: Settings) -> None:
    close = good.targets["security"].close
    assert close is not None
    assert (close.state, close.code) == ("3", "102")


def test_a_close_without_a_code_closes_nothing(tmp_path: Path) -> None:
    text = GOOD.replace("close: {code: 102}", "close: {notes: Bye.}")
    close = load(tmp_path, text).targets["security"].close
    assert close is not None
    assert close.code is None


def test_each_scheme_of_a_source_has_what_it_needs(good: Settings) -> None:
    schemes = {
        name: (s.auth.scheme, s.auth.header, s.auth.preset, len(s.auth.secrets)) for name, s in good.sources.items()
    }
    assert schemes == {
        "try": ("none", None, None, 0),
        "edr": ("bearer", None, None, 1),
        "waf": ("header", "X-Waf-Key", None, 1),
        "forge": ("hmac", None, "github", 2),
        "hooks": ("standard_webhooks", None, None, 1),
    }
    assert good.sources["edr"].body_bytes_max == 4096


def test_an_almost_empty_file_means_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "sources: {}\n")
    assert settings.database == f"sqlite:///{tmp_path}/var/bridge.db"
    assert (settings.mappings_path, settings.server_threads, settings.signing_keys) == (tmp_path / "mappings", 32, ())


def test_attention_waits_a_quarter_of_an_hour_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    text = GOOD + "attention: {target: tickets}\n"
    whole = text.replace("tickets}", "tickets, assignment_group: SOC Platform, after: 1h}")
    assert load(tmp_path, text).attention == Attention(
        target="tickets", assignment_group="", after=timedelta(minutes=15)
    )
    assert load(tmp_path, whole).attention == Attention(
        target="tickets", assignment_group="SOC Platform", after=timedelta(hours=1)
    )
    assert load(tmp_path, GOOD).attention is None


def test_bodies_are_kept_for_a_month_and_the_log_for_a_year_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).retention == Retention(deliveries=timedelta(days=30), log=timedelta(days=365))
    told = load(tmp_path, GOOD + "retention: {deliveries: 7d, log: 90d}\n").retention
    assert told == Retention(deliveries=timedelta(days=7), log=timedelta(days=90))


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("threads: 12", "threads: none").replace("mode: observe", "mode: look").replace("none}", "non}")
    assert [(problem.line, problem.column) for problem in problems(tmp_path, text)] == [(3, 19), (25, 11), (36, 38)]


MISTAKES = {
    "an unknown key names the nearest": ("server: {thread: 4}", "1:10: unknown key `thread` (did you mean `threads`?"),
    "an unknown key lists the known": ("server: {x: 4}", "1:10: unknown key `x` (known here: threads, proxy)"),
    "retention is of two things": ("retention: {logs: 9d}", "1:13: unknown key `logs` (did you mean `log`?"),
    "retention has a unit": ("retention: {log: 365}", "1:18: `log` must be a duration: a number and its unit"),
    "deliveries are kept for a day": ("retention: {deliveries: 1h}", "1:25: `deliveries` must be at least 86400s"),
    "the log is kept for four days": (
        "retention: {deliveries: 1d, log: 3d}",
        "1:34: `log` must be at least 345600s",
    ),
    "the log outlives what it tells of": (
        "retention: {log: 9d}",
        "1:18: the log must be kept as long as the deliveries that it tells of",
    ),
    "deliveries do not outlive the log": ("retention: {deliveries: 500d}", "1:25: the log must be kept as long as"),
    "attention needs a target": ("attention: {}", "1:1: `target` is missing here"),
    "attention goes to a target that is there": ("attention: {target: x}", "there is no `x` under `targets`"),
    "attention knows no more": ("attention: {mail: x}", "1:13: unknown key `mail`"),
    "reload knows two words": ("mappings: {reload: never}", "`never` is not a word for `reload` (one of auto, publish_only)"),
    "a section is not a word": ("server: fast", "1:9: `server` must hold `key: value` lines"),
    "a list is no file": ("- a", "1:1: must hold `key: value` lines"),
    "a proxy of intake with its password": (
        "server: {proxy: 'http://u:canary@p.example'}",
        "holds credentials, which never stand in this file",
    ),
    "a switch is no number": ("server: {threads: true}", "`threads` must be a whole number from 1 to 512"),
    "a memory database forgets": ("database: 'sqlite:///:memory:'", "names no file"),
    "a database needs a name": ("database: postgresql://db.example", "names no database"),
    "a database we do not know": ("database: mysql://db/x", "`mysql` is not a database we can use (sqlite:///var/bridge.db or"),
    "a database that is no URL": ("database: var/bridge.db", "is not a database URL"),
    "the log's key is a file": ("log: {signing_key: {env: K}}", "must be a file"),
    "a key stands twice": ("server: {}\nserver: {}", "2:1: the key 'server' stands here twice"),
    "broken YAML": ("server: {", "is not YAML"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in told(tmp_path, text)


KEYED = "log:\n  signing_key: {file: k}\n  anchors:\n    - "  # what follows begins at 4:7
IN_ANCHORS = {
    "a list": ("log: {signing_key: {file: k}, anchors: {file: x}}", "1:40: `anchors` must be a list"),
    "each a section": (KEYED + "var/anchors.log", "4:7: each of `anchors` must hold `key: value` lines"),
    "a kind that we do not know": (
        KEYED + "{s3: bucket}",
        "4:7: is no anchor that we know ({file: var/anchors.log} or {syslog: tcp://host:6514, tls: true})",
    ),
    "two in one": (KEYED + "{file: x, syslog: udp://h}", "4:17: an anchor is a file or a syslog collector, not both (write two)"),
    "a key that is not a file's": (KEYED + "{file: x, tls: true}", "4:17: unknown key `tls` (known here: file, syslog)"),
    "a path that is none": (KEYED + "{file: [x]}", "4:14: `file` must be a text"),
    "a scheme": (KEYED + "{syslog: http://h}", "4:16: is not the address of a syslog collector (udp://host:514, tcp://host:514, or"),
    "a host alone": (KEYED + "{syslog: h}", "4:16: is not the address of a syslog collector"),
    "tls as a scheme": (KEYED + "{syslog: tls://h:6514}", "4:16: `tls` is written as tcp with `tls: true`"),
    "a user": (KEYED + "{syslog: udp://u:canary@h}", "4:16: must end after the port: syslog has no user and no path"),
    "a path": (KEYED + "{syslog: udp://h/x}", "4:16: must end after the port"),
    "no host": (KEYED + '{syslog: "udp://:514"}', "4:16: names no host that can be reached"),
    "port 0": (KEYED + '{syslog: "udp://h:0"}', "4:16: names no host that can be reached"),
    "a port that is none": (KEYED + '{syslog: "udp://h:99999"}', "4:16: is not the address of a syslog collector"),
    "a line break": (KEYED + '{syslog: "udp://h\\n"}', "4:16: names no host that can be reached"),
    "tls over udp": (KEYED + "{syslog: udp://h, tls: true}", "4:25: goes with tcp (syslog: tcp://host:6514)"),
    "a switch": (KEYED + "{syslog: tcp://h, tls: 6514}", "4:30: `tls` must be true or false"),
    "a ca without tls": (KEYED + "{syslog: tcp://h, ca: x}", "4:25: goes with `tls: true` (without TLS nothing is verified)"),
    "twice": (KEYED + "{file: x}\n    - {file: x}", "5:7: this anchor stands here twice (once is enough: remove one)"),
    "without a key": ("log: {anchors: [{file: x}]}", "1:7: `anchors` goes with `signing_key`"),
    "three keys": ("log: {signing_key: [{file: a}, {file: b}, {file: c}]}", "1:20: holds 3 references; one is used, or two"),
    "no key": ("log: {signing_key: []}", "1:20: holds 0 references"),
    "a key of the environment among two": ("log: {signing_key: [{file: a}, {env: B}]}", "must be a file"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), IN_ANCHORS.values(), ids=IN_ANCHORS)
def test_a_mistake_in_the_logs_section_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in told(tmp_path, text)
    assert "canary" not in told(tmp_path, text)


IN_INSTANCE = {
    "https only": (
        "url: http://corp.example",
        "must be https: credentials travel over it (write https://corp.example;",
    ),
    "no path": (
        "url: https://corp.example/now/nav",
        "must end after the host: the bridge knows the paths (write https://corp.example)",
    ),
    "no query": ("url: https://corp.example?x=1", "must end after the host"),
    "no credentials": ("url: https://a:b@corp.example", "holds credentials"),
    "a host": ("url: https:///x", "is not the URL of an instance"),
    "a host that no request can name": ("url: https://*.service-now.com", "is not the URL of an instance"),
    "a host of letters that a name cannot have": ("url: https://äcme.service-now.com", "is not the URL of an instance"),
    "a port that is none": ("url: https://corp.example:99999", "is not the URL of an instance"),
    "port 0": ("url: https://corp.example:0", "is not the URL of an instance"),
    "an empty label": ("url: https://a..b.service-now.com", "is not the URL of an instance"),
    "a label too long": (f"url: https://{'a' * 64}.service-now.com", "is not the URL of an instance"),
    "a label that ends in a hyphen": ("url: https://acme-.service-now.com", "is not the URL of an instance"),
    "a name too long": (f"url: https://{'a.' * 127}aa", "is not the URL of an instance"),
    "NUL": ('url: "https://acme.service-now.com\\0"', "is not the URL of an instance"),
    "an address of one link": ("url: https://[fe80::1%25eth0]", "is not the URL of an instance"),
    "a letter of another script": ("url: https://аcme.service-now.com", "is not the URL of an instance"),
    "a host alone": ("url: Corp.example", "is not the URL of an instance (write https://corp.example)"),
    "a name alone": ("url: acme", "is not the URL of an instance (write https://acme.service-now.com)"),
    "missing": ("environment: test", "`url` is missing here"),
    "environment": ("url: https://x.example\n    environment: prod", "did you mean `production`?"),
    "a path of enrichment": (
        "url: https://x.example\n    enrichment_path: https://x.example/api/y",
        "`https://x.example/api/y` is not the path of an API (as in /api/…, without host and query)",
    ),
    "a path with a query": ("url: https://x.example\n    enrichment_path: /api/y?a=b", "is not the path of an API"),
    "a path that climbs": ("url: https://x.example\n    enrichment_path: /api/../y", "is not the path of an API"),
    "a path that is empty": ("url: https://x.example\n    enrichment_path: ''", "`enrichment_path` must be a text"),
    "a path of one": (
        "url: https://x.example\n    enrichment_path: {threat_lookup: y}",
        "`y` is not the path of an API",
    ),
    "no resource": (
        "url: https://x.example\n    enrichment_path: {threat_lookups: /api/y}",
        "unknown key `threat_lookups` (did you mean `threat_lookup`?",
    ),
}


@pytest.mark.parametrize(("lines", "expected"), IN_INSTANCE.values(), ids=IN_INSTANCE)
def test_an_instance_is_checked(tmp_path: Path, lines: str, expected: str) -> None:
    auth = "auth: {scheme: basic, username: a, password: {env: P}}"
    assert expected in told(tmp_path, f"instances:\n  corp:\n    {auth}\n    {lines}\n")


PATHS = [
    ("", {}),
    ("enrichment_path: /api/x/y/", {name: f"/api/x/y/{name}" for name in ENRICHMENTS}),
    ("enrichment_path: {threat_lookup: /api/x/lookup}", {"threat_lookup": "/api/x/lookup"}),
]


@pytest.mark.parametrize(("line", "expected"), PATHS)
def test_enrichment_has_one_path_for_all_or_one_for_each(tmp_path: Path, line: str, expected: dict[str, str]) -> None:
    auth = "auth: {scheme: basic, username: a, password: {env: P}}"
    settings = load(tmp_path, f"instances:\n  i:\n    url: https://x.example\n    {auth}\n    {line}\n")
    found = {name: settings.instances["i"].enrichment_path(name) for name in ENRICHMENTS}
    assert found == dict.fromkeys(ENRICHMENTS) | expected


@pytest.mark.parametrize("host", ["localhost", "127.8.9.10:80", "[::1]:9"])
def test_plain_http_is_taken_for_a_loopback_address(tmp_path: Path, host: str) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    settings = load(tmp_path, f"instances: {{i: {{url: 'http://{host}', auth: {auth}}}}}")
    assert settings.instances["i"].url == f"http://{host}"


IN_TARGET = {
    "unknown instance": ("instance: copr, table: incident", "there is no `copr` under `instances` (did you mean `corp`?"),
    "unknown table": ("instance: corp, table: incidents", "`incidents` is not a word for `table` (did you mean `incident`?"),
    "table missing": ("instance: corp", "`table` is missing here (one of incident, sn_si_incident)"),
    "no staging table": ("instance: corp, table: incident, write: import_set", "`staging_table` is missing here"),
    "not a table": ("instance: corp, table: incident, write: import_set, staging_table: 'a b'", "`a b` is not a name in ServiceNow"),
    "staging_table": ("instance: corp, table: incident, staging_table: u_s", "`staging_table` goes with `write: import_set`"),
    "field_prefix": ("instance: corp, table: incident, field_prefix: x_", "`field_prefix` goes with `write: import_set`"),
    "preset": ("instance: corp, table: incident, preset: elastic", "`preset` goes with `write: import_set`"),
    "unknown preset": ("instance: corp, table: incident, write: import_set, preset: elstic", "did you mean `elastic`?"),
    "preset of SIR": ("instance: corp, table: incident, write: import_set, preset: sir_import", "writes sn_si_incident, not incident"),
    "twice": ("instance: corp, table: incident, write: import_set, preset: elastic, staging_table: u_s", "the preset names it"),
    "no key_field": ("instance: corp, table: incident, write: unique", "`key_field` is missing here (the column that has the unique index)"),
    "key_field": ("instance: corp, table: incident, key_field: u_k", "`key_field` goes with `write: import_set` or `unique`"),
    "bad key_field": ("instance: corp, table: incident, write: unique, key_field: K", "`K` is not a name in ServiceNow"),
    "mode": ("instance: corp, table: incident, mode: [write]", "`this` is not a word for `mode` (one of observe, write)"),
    "adopt": ("instance: corp, table: incident, adopt: all", "`all` is not a word for `adopt`"),
    "duration": ("instance: corp, table: incident, late_commit: 310", "`late_commit` must be a duration"),
    "duration too short": ("instance: corp, table: incident, late_commit: 0s", "`late_commit` must be at least 1s"),
    "late commit too short": ("instance: corp, table: incident, late_commit: 299s", "a write that was cut off may land until 5m"),
    "late commit too long": ("instance: corp, table: incident, late_commit: 3601s", "a write without an answer waits so long"),
    "creates": ("instance: corp, table: incident, max_creates_per_hour: 0", "must be a whole number of at least 1"),
    "defaults": ("instance: corp, table: incident, defaults: {Caller: x}", "`Caller` is not a field's name"),
    "a field for people": ("instance: corp, table: incident, defaults: {watch_list: x}", "`watch_list` is never written by the bridge"),
    "a risk score": ("instance: corp, table: sn_si_incident, defaults: {risk_score: 5}", "`risk_score` is not written without `risk_score_override: \"true\"`"),
    "close": ("instance: corp, table: incident, close: {cod: x}", "unknown key `cod` (did you mean `code`?"),
    "tenant": ("instance: corp, table: incident, tenant: a/b", "`a/b` cannot be a name"),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), IN_TARGET.values(), ids=IN_TARGET)
def test_a_target_is_checked(tmp_path: Path, keys: str, expected: str) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    corp = f"instances: {{corp: {{url: 'https://x.example', auth: {auth}}}}}"
    assert expected in told(tmp_path, f"{corp}\ntargets: {{t: {{{keys}}}}}")


def test_a_default_risk_score_with_its_override_is_taken(tmp_path: Path) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    target = "{instance: i, table: sn_si_incident, defaults: {risk_score: 5, risk_score_override: 'true'}}"
    settings = load(tmp_path, f"instances: {{i: {{url: 'https://x.example', auth: {auth}}}}}\ntargets: {{t: {target}}}")
    assert dict(settings.targets["t"].defaults) == {"risk_score": "5", "risk_score_override": "true"}


def test_two_tenants_do_not_write_one_table_by_one_account(tmp_path: Path) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    corp = f"instances: {{corp: {{url: 'https://x.example', auth: {auth}}}}}"
    ours, theirs = "{instance: corp, table: incident}", "{instance: corp, table: incident, tenant: blue}"
    words = told(tmp_path, f"{corp}\ntargets:\n  ours: {ours}\n  theirs: {theirs}")
    assert "bridge.yaml:4:" in words
    assert "`theirs` of tenant `blue` and `ours` of `default` write `incident` of `corp`" in words


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        ("https://x.example", "{scheme: basic, username: a, password: {env: P}}"),
        ("https://X.example:443/", "{scheme: basic, username: a, password: {env: P}}"),
        ("https://x.example", "{scheme: basic, username: a, password: {file: /run/p}}"),
    ],
    ids=["alike", "another way to write the url", "its password from elsewhere"],
)
def test_nor_by_one_account_that_is_named_twice(tmp_path: Path, url: str, auth: str) -> None:
    one = "one: {url: 'https://x.example', auth: {scheme: basic, username: a, password: {env: P}}}"
    targets = "a: {instance: one, table: incident}, b: {instance: two, table: incident, tenant: blue}"
    words = told(tmp_path, f"instances: {{{one}, two: {{url: '{url}', auth: {auth}}}}}\ntargets: {{{targets}}}")
    assert "write `incident` of `two` and of `one`, which are one account at https://x.example" in words
    assert "give each tenant an instance, or an account" in words


def test_two_tenants_write_tables_of_their_own_or_by_accounts_of_their_own(tmp_path: Path) -> None:
    one, two = (
        f"{name}: {{url: 'https://x.example', auth: {{scheme: basic, username: {name}, password: {{env: P}}}}}}"
        for name in ("one", "two")
    )
    rest = "b: {instance: one, table: sn_si_incident, tenant: blue}, c: {instance: two, table: incident, tenant: blue}"
    text = f"instances: {{{one}, {two}}}\ntargets: {{a: {{instance: one, table: incident}}, {rest}}}"
    assert set(load(tmp_path, text).targets) == {"a", "b", "c"}


@pytest.mark.parametrize("window", ["300s", "1h"])
def test_the_bounds_of_a_late_commit_are_taken(tmp_path: Path, window: str) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    corp = f"instances: {{corp: {{url: 'https://x.example', auth: {auth}}}}}"
    settings = load(tmp_path, f"{corp}\ntargets: {{t: {{instance: corp, table: incident, late_commit: {window}}}}}")
    assert settings.targets["t"].late_commit in (timedelta(minutes=5), timedelta(hours=1))


def test_a_simulated_instance_may_have_a_short_late_commit(tmp_path: Path) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    local = f"instances: {{local: {{url: 'http://127.0.0.1:8180', auth: {auth}}}}}"
    settings = load(tmp_path, f"{local}\ntargets: {{t: {{instance: local, table: incident, late_commit: 2s}}}}")
    assert settings.targets["t"].late_commit == timedelta(seconds=2)


WAYS = {
    "table": ("table: incident", Write.TABLE, None, "correlation_id", False),
    "staging": (
        "table: incident, write: import_set, staging_table: u_s",
        Write.IMPORT_SET,
        Staging(table="u_s", prefix="u_"),
        "correlation_id",
        True,
    ),
    "without a prefix, with a key": (
        "table: incident, write: import_set, staging_table: u_s, field_prefix: '', key_field: u_k",
        Write.IMPORT_SET,
        Staging(table="u_s", prefix=""),
        "u_k",
        False,
    ),
    "elastic": (
        "table: sn_si_incident, write: import_set, preset: elastic",
        Write.IMPORT_SET,
        PRESETS["elastic"]["sn_si_incident"],
        "correlation_id",
        True,
    ),
    "sir_import": (
        "table: sn_si_incident, write: import_set, preset: sir_import",
        Write.IMPORT_SET,
        PRESETS["sir_import"]["sn_si_incident"],
        "correlation_id",
        False,
    ),
    "unique": ("table: incident, write: unique, key_field: u_k", Write.UNIQUE, None, "u_k", False),
    "unique by the ID": (
        "table: incident, write: unique, key_field: correlation_id",
        Write.UNIQUE,
        None,
        "correlation_id",
        True,
    ),
}


@pytest.mark.parametrize(("keys", "write", "staging", "key", "one"), WAYS.values(), ids=WAYS)
def test_the_way_of_writing_is_read(
    tmp_path: Path, keys: str, write: Write, staging: Staging | None, key: str, *, one: bool
) -> None:
    auth = "{scheme: basic, username: a, password: {env: P}}"
    corp = f"instances: {{corp: {{url: 'https://x.example', auth: {auth}}}}}"
    target = load(tmp_path, f"{corp}\ntargets: {{t: {{instance: corp, {keys}}}}}").targets["t"]
    assert (target.write, target.staging, target.key_field, target.one_record_per_id) == (write, staging, key, one)


def test_no_target_is_called_drop(tmp_path: Path) -> None:
    assert "a target cannot be called `drop`" in told(tmp_path, GOOD.replace("  security:", "  drop:"))


IN_SOURCE = {
    "no mapping": ("auth: {scheme: none}", "`mapping` is missing here"),
    "no auth": ("mapping: m", "`auth` is missing here"),
    "mapping is no path": ("mapping: ../m, auth: {scheme: none}", "`../m` is not a mapping's name"),
    "the bridge's own mapping": ("mapping: bridge-attention, auth: {scheme: none}", "`bridge-attention` is the bridge's own"),
    "unknown scheme": ("mapping: m, auth: {scheme: barer, secret: {env: A}}", "did you mean `bearer`?"),
    "secret missing": ("mapping: m, auth: {scheme: bearer}", "`secret` is missing here ({env: NAME} or {file: PATH})"),
    "no secret wanted": ("mapping: m, auth: {scheme: none, secret: {env: A}}", "unknown key `secret`"),
    "three secrets": ("mapping: m, auth: {scheme: bearer, secret: [{env: A}, {env: B}, {env: C}]}", "holds 3 references"),
    "header without name": ("mapping: m, auth: {scheme: header, secret: {env: A}}", "`name` is missing here"),
    "header's name": ("mapping: m, auth: {scheme: header, name: x_y, secret: {env: A}}", "cannot be a header's name"),
    "preset": ("mapping: m, auth: {scheme: hmac, preset: githab, secret: {env: A}}", "did you mean `github`?"),
    "variable": ("mapping: m, auth: {scheme: bearer, secret: {env: A-B}}", "is not an environment variable's name"),
    "two kinds": ("mapping: m, auth: {scheme: bearer, secret: {env: A, file: b}}", "is not a reference to a secret"),
    "envelope": ("mapping: m, auth: {scheme: none}, envelope: pub_sub", "did you mean `pubsub`? known here: none, github"),
    "expect_every": ("mapping: m, auth: {scheme: none}, expect_every: 1m", "`expect_every` must be at least 300s"),
    "silence is told to somebody": ("mapping: m, auth: {scheme: none}, expect_every: 24h", "`expect_every` goes with `attention`"),
    "too large": ("mapping: m, auth: {scheme: none}, body_bytes_max: 99999999", "must be a whole number from 1024 to"),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), IN_SOURCE.values(), ids=IN_SOURCE)
def test_a_source_is_checked(tmp_path: Path, keys: str, expected: str) -> None:
    assert expected in told(tmp_path, f"sources: {{s: {{{keys}}}}}")


def test_the_name_of_a_source_fits_its_url(tmp_path: Path) -> None:
    assert "`a b` cannot be a name" in told(tmp_path, "sources: {a b: {mapping: m, auth: {scheme: none}}}")


CANARY = "canary-7Hq"
LITERALS = {
    "of a source": f"sources: {{s: {{mapping: m, auth: {{scheme: bearer, secret: {CANARY}}}}}}}",
    "in a list": f"sources: {{s: {{mapping: m, auth: {{scheme: bearer, secret: [{CANARY}]}}}}}}",
    "behind env": f"sources: {{s: {{mapping: m, auth: {{scheme: bearer, secret: {{env: {CANARY}}}}}}}}}",
    "of an instance": f"instances: {{i: {{url: 'https://x.example', auth: {{scheme: basic, username: a, password: {CANARY}}}}}}}",
    "in the URL": f"instances: {{i: {{url: 'https://a:{CANARY}@x.example', auth: {{}}}}}}",
    "of the database": f"database: postgresql://bridge:{CANARY}@db.example/bridge",
    "in the database's query": f"database: postgresql://db.example/bridge?password={CANARY}",
}  # fmt: skip


@pytest.mark.parametrize("text", LITERALS.values(), ids=LITERALS)
def test_a_literal_secret_is_refused_and_never_quoted(tmp_path: Path, text: str) -> None:
    assert CANARY not in told(tmp_path, text)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"there is no such file \(name it with --config .* `bridge init`\)"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_postgresql_url_stays_as_it_is(tmp_path: Path) -> None:
    assert (
        load(tmp_path, "database: postgresql://bridge@db.example/bridge").database
        == "postgresql://bridge@db.example/bridge"
    )


SCHEMES = {
    "basic": "scheme: basic, username: u, password: {env: P}",
    "api_key": "scheme: api_key, key: {file: k}",
    "oauth_password": "scheme: oauth_password, client_id: c, client_secret: {env: S}, username: {env: U}, password: {env: P}",
    "oauth_client_credentials": "scheme: oauth_client_credentials, client_id: c, client_secret: {env: S}",
    "oauth_jwt_bearer": "scheme: oauth_jwt_bearer, client_id: c, client_secret: {env: S}, key_id: k1, private_key: {file: p.pem}, private_key_password: {env: P}, user: svc@corp.example",
    "of a public client": "scheme: oauth_jwt_bearer, client_id: {env: C}, key_id: 77, private_key: {file: p.pem}, user: svc",
}


def instance_with(folder: Path, auth: str, more: str = "") -> Instance:
    text = f"instances: {{i: {{url: 'https://x.example', auth: {{{auth}}}{more}}}}}"
    return load(folder, text).instances["i"]


def env(name: str) -> Secret:
    return Secret(kind="env", name=name)


def test_each_scheme_of_an_instance_has_what_it_needs(tmp_path: Path) -> None:
    pem = Secret(kind="file", name=f"{tmp_path}/p.pem")
    expected = {
        "basic": InstanceAuth(scheme=AuthScheme.BASIC, username="u", password=env("P")),
        "api_key": InstanceAuth(scheme=AuthScheme.API_KEY, key=Secret(kind="file", name=f"{tmp_path}/k")),
        "oauth_password": InstanceAuth(
            scheme=AuthScheme.OAUTH_PASSWORD,
            client_id="c",
            client_secret=env("S"),
            username=env("U"),
            password=env("P"),
        ),
        "oauth_client_credentials": InstanceAuth(
            scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id="c", client_secret=env("S")
        ),
        "oauth_jwt_bearer": InstanceAuth(
            scheme=AuthScheme.OAUTH_JWT_BEARER,
            client_id="c",
            client_secret=env("S"),
            key_id="k1",
            private_key=pem,
            private_key_password=env("P"),
            user="svc@corp.example",
        ),
        "of a public client": InstanceAuth(
            scheme=AuthScheme.OAUTH_JWT_BEARER, client_id=env("C"), key_id="77", private_key=pem, user="svc"
        ),
    }
    assert {name: instance_with(tmp_path, auth).auth for name, auth in SCHEMES.items()} == expected


IN_AUTH = {
    "a scheme we do not know": ("scheme: oauth", "`oauth` is not a word for `scheme`"),
    "a key of another scheme": ("scheme: basic, username: u, password: {env: P}, key: {env: K}", "unknown key `key`"),
    "a user name of two lines": (
        'scheme: basic, username: "a\\nb", password: {env: P}',
        "`username` holds a line break",
    ),
    "a user name with a colon": ("scheme: basic, username: 'a:b', password: {env: P}", "`username` holds a colon"),
    "a key in the file": ("scheme: api_key, key: now_123", "a secret is never written in this file"),
    "a secret that is missing": ("scheme: oauth_client_credentials, client_id: c", "`client_secret` is missing here"),
    "whom it is about": ("scheme: oauth_jwt_bearer, client_id: c, key_id: k, private_key: {file: p}", "`user` is missing here"),
}  # fmt: skip


@pytest.mark.parametrize(("auth", "expected"), IN_AUTH.values(), ids=IN_AUTH)
def test_the_auth_of_an_instance_is_checked(tmp_path: Path, auth: str, expected: str) -> None:
    assert expected in told(tmp_path, f"instances: {{i: {{url: 'https://x.example', auth: {{{auth}}}}}}}")


def test_how_an_instance_is_reached(tmp_path: Path) -> None:
    files = "ca: tls/ca.pem, client_cert: /etc/c.pem, client_key: c.key"
    transport = instance_with(
        tmp_path, SCHEMES["basic"], f", transport: {{{files}, proxy: 'http://p.example:3128'}}"
    ).transport
    assert transport == Transport(
        ca=tmp_path / "tls/ca.pem",
        client_cert=Path("/etc/c.pem"),
        client_key=tmp_path / "c.key",
        proxy="http://p.example:3128",
    )
    assert instance_with(tmp_path, SCHEMES["basic"], ", transport: {proxy: {env: PROXY}}").transport.proxy == env(
        "PROXY"
    )
    assert instance_with(tmp_path, SCHEMES["basic"]).transport == Transport()


IN_TRANSPORT = {
    "a key alone": ("client_key: k", "is a key without its certificate (give `client_cert` too)"),
    "no host": ("proxy: proxy", "is not the URL of a proxy (http://proxy.example:3128)"),
    "a way that is none of ours": ("proxy: 'socks5://p.example'", "is not the URL of a proxy"),
    "credentials": ("proxy: 'http://u:canary@p.example'", "holds credentials, which never stand in this file"),
    "verify": ("verify: false", "unknown key `verify`"),
}


@pytest.mark.parametrize(("keys", "expected"), IN_TRANSPORT.values(), ids=IN_TRANSPORT)
def test_the_transport_of_an_instance_is_checked(tmp_path: Path, keys: str, expected: str) -> None:
    text = f"instances: {{i: {{url: 'https://x.example', auth: {{{SCHEMES['basic']}}}, transport: {{{keys}}}}}}}"
    assert expected in told(tmp_path, text)
    assert "canary" not in told(tmp_path, text)

"""`bridge sources` without a bridge that runs: what is listed, what `add` writes and refuses, what `test` refuses."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import requests

from bridge.cli import main
from bridge.connecting import Wanted, connection
from bridge.products import names_of, offers
from bridge.settings import load_settings

CONFIG = """\
# ours
database: sqlite:///var/bridge.db
instances:
  prod: {url: "https://acme.service-now.com", auth: {scheme: basic, username: u, password: {env: SN_PASSWORD}}}   # prod
targets:
  itsm: {instance: prod, table: incident}
  sir: {instance: prod, table: sn_si_incident}

sources:
  # the first one
  old: {mapping: falco, auth: {scheme: bearer, secret: {env: OLD}}}
"""
GIVEN = """\
mapping: doorman
version: 1
owner: o
product:
  name: Doorman
  sends: door alerts
  unconfirmed: written from its documentation
  calls_from: cloud
  auth: [{scheme: standard_webhooks, secret: given}]
  retries: never
  setup: ["Add the webhook {{ url }}, and copy its secret"]
correlation: {id: "{{ .door }}"}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .door }}"}}
tests: [{name: a door, alert: samples/door.json, expect: {action: create}}]
"""


class Place:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """What it says: on stdout, or on stderr where it fails."""
        assert main(["sources", *words]) == status, self._capsys.readouterr()
        said = self._capsys.readouterr()
        return said.err if status else said.out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    @property
    def config(self) -> str:
        return (self.folder / "bridge.yaml").read_text()

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    (tmp_path / "mappings/samples").mkdir(parents=True)
    (tmp_path / "mappings/doorman.yaml").write_text(GIVEN)
    (tmp_path / "mappings/samples/door.json").write_text('{"door": "12"}')
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    return Place(tmp_path, capsys)


def test_products_are_listed_with_their_evidence_and_what_closes_them(place: Place) -> None:
    rows = {row["product"]: row for row in place.json("list")}
    assert {name: rows[name]["evidence"] for name in ("doorman", "falco", "splunk")} == {
        "doorman": "unconfirmed",
        "falco": "confirmed",
        "splunk": "partly",
    }
    assert rows["alertmanager"]["closes_when"] == ".status: resolved"
    assert rows["splunk"]["closes_when"] is None
    assert [way["name"] for way in rows["aws-securityhub"]["auth"]] == ["sns", "header"]
    assert (rows["falco"]["sources"], rows["doorman"]["shipped"], rows["github"]["shipped"]) == (["old"], False, True)


def test_the_list_for_people_names_the_same(place: Place) -> None:
    said = place.run("list")
    line = next(line for line in said.splitlines() if line.startswith("google-scc"))
    assert all(
        word in line for word in ("Google Security Command Center", "partly", "oidc, query", "pubsub", "INACTIVE")
    )


def test_some_may_be_asked_for_alone(place: Place) -> None:
    assert [row["product"] for row in place.json("list", "wazuh", "falco")] == ["falco", "wazuh"]
    assert "there is no product waz" in place.run("list", "waz", status=2)


def test_a_mapping_that_does_not_compile_is_left_out_of_the_list_and_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "mappings/doorman.yaml").write_text("mapping: doorman\nversion: [\n")
    assert main(["sources", "list"]) == 0
    said = capsys.readouterr()
    assert "does not compile: " in said.err
    assert "doorman" not in said.out


def test_a_source_is_added_with_a_secret_that_only_its_owner_reads(place: Place) -> None:
    said = place.run("add", "github", "--url", "https://bridge.example.com/")
    secret = (place.folder / "var/github.secret").read_text().strip()
    assert stat.S_IMODE((place.folder / "var/github.secret").stat().st_mode) == 0o600
    assert len(secret) >= 43
    assert "https://bridge.example.com/hooks/github" in said
    assert f"secret {secret}" in said
    assert place.config == CONFIG + (
        "  github:\n    mapping: github\n    auth: {scheme: hmac, preset: github, secret: {file: var/github.secret}}\n"
    )


def test_the_files_of_a_shipped_mapping_come_along_and_none_is_overwritten(place: Place) -> None:
    shared = place.folder / "mappings/_shared/priority.yaml"
    shared.parent.mkdir()
    shared.write_text("fields: {on: {sir: {create: {priority: 2}}, itsm: {create: {impact: 1}}}}\n")
    before = shared.read_text()
    place.run("add", "github")
    assert {"mappings/github.yaml", "mappings/samples/github-dependabot.json"} <= place.files()
    assert shared.read_text() == before


def test_every_product_can_be_connected_in_each_of_its_ways(place: Place) -> None:
    known = {
        "sns": {"topics": "arn:aws:sns:eu-central-1:123456789012:a"},
        "oidc": {"issuer": "https://accounts.google.com", "audience": "a", "subject": "s"},
    }
    settings = load_settings(place.folder / "bridge.yaml")
    found, problems = offers(names_of(settings.mappings_path), settings.mappings_path)
    assert problems == []
    for offer in found:
        for way in offer.ways:
            own = {key: value for key, value in known.get(str(way.auth["scheme"]), {}).items() if key not in way.auth}
            wanted = Wanted(offer=offer, name=f"{offer.name}-{way.name}", way=way, own=own, base="https://b.example")
            made = connection(settings, wanted)
            assert (made.source.mapping, made.source.auth.scheme) == (offer.name, way.auth["scheme"])


def test_a_way_and_a_name_may_be_chosen(place: Place) -> None:
    made = place.json("add", "alertmanager", "--auth", "basic", "--name", "alertmanager-eu")
    assert made["url"] == "http://127.0.0.1:8080/hooks/alertmanager-eu"
    source = load_settings(place.folder / "bridge.yaml").sources["alertmanager-eu"]
    assert (source.mapping, source.auth.scheme) == ("alertmanager", "basic")


def test_a_way_by_header_prints_the_header_and_one_by_url_the_whole_url(place: Place) -> None:
    header = place.json("add", "alertmanager", "--name", "a")
    url = place.json("add", "splunk", "--name", "b")
    secrets = [(place.folder / f"var/{name}.secret").read_text().strip() for name in "ab"]
    assert header["header"] == f"Authorization: Bearer {secrets[0]}"
    assert url["url"] == f"http://127.0.0.1:8080/hooks/b?code={secrets[1]}"
    assert any(secrets[0] in step for step in header["steps"])


def test_a_product_that_makes_the_secret_leaves_the_file_to_be_filled(place: Place) -> None:
    said = place.run("add", "doorman")
    assert (place.folder / "var/doorman.secret").read_text() == ""
    assert "Doorman makes the secret: write it into" in said
    assert "docs/sources/README.md" in said  # it calls from the internet, and the URL is this machine's


REFUSED = [
    pytest.param(["add", "githb"], "there is no product githb (did you mean `github`?)", id="an unknown product"),
    pytest.param(
        ["add", "falco", "--name", "old"], "there is a source `old` already (--name OTHER", id="a name in use"
    ),
    pytest.param(["add", "github", "--name", "a b"], "`a b` cannot be a source's name", id="a name that is none"),
    pytest.param(["add", "grafana", "--auth", "barer"], "did you mean `bearer`?", id="an unknown way"),
    pytest.param(["add", "guardduty"], "--set topics=…: `sns` needs your `topics` (the ARN", id="what only you know"),
    pytest.param(["add", "guardduty", "--set", "topics=x"], "`x` is not the ARN of a topic", id="what cannot be"),
    pytest.param(
        ["add", "github", "--set", "topics=x"], "`topics` does not go with `hmac`", id="what does not go with it"
    ),
    pytest.param(["add", "github", "--set", "topics"], "'topics' is not KEY=VALUE", id="no value"),
    pytest.param(["add", "github", "--url", "bridge.example.com"], "is not a URL such as https://", id="no URL"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_is_refused_says_why_and_nothing_is_written(place: Place, words: list[str], told: str) -> None:
    before = place.files()
    assert told in place.run(*words, status=2)
    assert (place.config, place.files()) == (CONFIG, before)


def test_a_secret_that_is_there_is_not_overwritten(place: Place) -> None:
    (place.folder / "var").mkdir()
    (place.folder / "var/github.secret").write_text("kept")
    assert "github.secret is there already" in place.run("add", "github", status=2)
    assert (place.folder / "var/github.secret").read_text() == "kept"


def test_a_mapping_that_routes_to_nowhere_is_refused_before_anything_is_written(place: Place) -> None:
    config = CONFIG.replace("  sir: {instance: prod, table: sn_si_incident}\n", "")
    (place.folder / "bridge.yaml").write_text(config)
    before = place.files()
    assert "there is no target `sir`" in place.run("add", "github", status=2)
    assert (place.config, place.files()) == (config, before)


def test_where_nothing_can_be_put_in_the_lines_are_told(place: Place) -> None:
    flow = CONFIG.replace("sources:\n  # the first one\n  old: ", "sources: {old: ").rstrip() + "}\n"
    (place.folder / "bridge.yaml").write_text(flow)
    said = place.run("add", "github", status=2)
    assert "add it under `sources` yourself: github: mapping: github auth: {scheme: hmac" in said
    assert place.config == flow


# --- test


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.write_text(""), "is empty (write the product's secret into it)"),
    ],
)
def test_a_secret_that_cannot_be_used_is_told(place: Place, spoil: Any, told: str) -> None:
    place.run("add", "alert")
    spoil(place.folder / "var/alert.secret")
    assert told in place.run("test", "alert", "--yes", status=2)


def test_a_variable_that_is_not_set_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLD", raising=False)
    place.run("add", "falco")
    assert "the environment variable OLD, the secret of old, is not set" in place.run("test", "old", "--yes", status=2)


def test_what_only_the_sender_can_sign_is_told(place: Place) -> None:
    place.run("add", "guardduty", "--set", "topics=arn:aws:sns:eu-central-1:123456789012:a")
    assert "only Amazon SNS has the key" in place.run("test", "guardduty", "--yes", status=1)


def test_an_unknown_source_is_told_with_the_nearest(place: Place) -> None:
    assert "there is no source odl in bridge.yaml: did you mean `old`?" in place.run("test", "odl", status=2)


def test_nothing_is_posted_to_a_production_instance_unasked(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run("add", "doorman", "--name", "d")
    monkeypatch.setattr("bridge.cli.sources_test._post", lambda *_: pytest.fail("it was posted"))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["sources", "test", "d"]) == 130
    assert "This may open an incident at itsm, a production instance" in capsys.readouterr().out


@pytest.mark.parametrize("delivery", ['"x"', "null", "true", "[1]"])
def test_an_answer_without_the_number_of_a_delivery_is_not_a_bridge_s(
    place: Place, monkeypatch: pytest.MonkeyPatch, delivery: str
) -> None:
    answer = requests.Response()
    answer.status_code, answer._content = 200, f'{{"delivery": {delivery}, "duplicate": false}}'.encode()
    monkeypatch.setattr("bridge.cli.sources_test._asked", lambda *_: answer)
    place.run("add", "alert")
    assert "answered 200: what answers is no bridge" in place.run("test", "alert", "--yes", status=1)

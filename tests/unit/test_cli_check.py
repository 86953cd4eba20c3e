"""`bridge check`: all that is wrong, at once, each with its place and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.dictionary.reading import Reading
from bridge.dictionary.schema import Column
from bridge.schema_file import save

BRIDGE = """\
instances:
  corp: {url: "https://corp.example", auth: {scheme: basic, username: a, password: {file: password}}}
targets:
  itsm: {instance: corp, table: incident}
  other: {instance: corp, table: sn_si_incident, tenant: blue}
sources:
  probe: {mapping: probe, auth: {scheme: none}}
"""
PROBE = """\
mapping: probe
version: 1
owner: tests@corp.example
extract: {rule: .rule}
time: .at
severity: {from: .severity, table: {high: high}, default: low}
correlation: {id: "{{ rule }}", display: Probe, close_when: {.status: resolved}}
route: [{to: itsm}]
fields: {create: {short_description: "{{ rule }}"}}
tests: [{name: it opens, alert: samples/probe.json, expect: {action: create}}]
"""
SAMPLE = '{"rule": "Malware", "severity": "high", "status": "firing", "at": "2026-03-02T08:15:00Z"}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    (tmp_path / "bridge.yaml").write_text(BRIDGE)
    (tmp_path / "password").write_text("canary-check")
    (tmp_path / "mappings/samples").mkdir(parents=True)
    (tmp_path / "mappings/samples/probe.json").write_text(SAMPLE)
    (tmp_path / "mappings/probe.yaml").write_text(PROBE)
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["check", *more])
    return status, capsys.readouterr().out


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_all_is_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys) == (0, "bridge.yaml: all is well (sources: 1, targets: 2, mappings: 1).\n")


def test_a_broken_configuration_exits_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "bridge.yaml", "table: incident}", "tabel: incident}")
    status, out = check(capsys)
    assert status == 2
    assert "bridge.yaml:4:26: unknown key `tabel` (did you mean `table`?" in out


def test_a_secret_that_others_can_read_is_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "password").chmod(0o644)
    assert main(["check"]) == 0
    assert "warning: bridge.yaml:2:84: instances.corp.auth.password: others can read " in capsys.readouterr().err


def test_a_missing_secret_exits_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "password").unlink()
    status, out = check(capsys)
    assert status == 2
    assert "bridge.yaml:2:84: instances.corp.auth.password: " in out


def test_a_secret_that_its_scheme_cannot_use_exits_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "bridge.yaml", "{scheme: none}", "{scheme: standard_webhooks, secret: {file: password}}")
    (folder / "password").write_text("whsec_%%%")
    status, out = check(capsys)
    assert status == 2
    assert out.startswith("bridge.yaml:7:33: sources.probe.auth: ")


def test_a_broken_mapping_exits_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "mappings/probe.yaml", "owner:", "ownr:")
    status, out = check(capsys)
    assert status == 1
    assert out.startswith("mappings/probe.yaml:")


def test_a_mapping_that_no_source_uses_is_checked_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mappings/spare.yaml").write_text("mapping: spare\n")
    status, out = check(capsys)
    assert status == 1
    assert "mappings/spare.yaml" in out


def test_a_mapping_that_is_not_there_exits_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "bridge.yaml", "mapping: probe", "mapping: prob")
    status, out = check(capsys)
    assert status == 1
    assert "bridge.yaml:7:20: there is no mapping `prob` in mappings" in out


def test_a_route_to_an_unknown_target_has_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "mappings/probe.yaml", "to: itsm", "to: sir")
    status, out = check(capsys)
    assert status == 1
    assert out.startswith("mappings/probe.yaml:8:14: there is no target `sir` (add it under `targets` of bridge.yaml")


def test_a_route_does_not_leave_its_tenant(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "mappings/probe.yaml", "to: itsm", "to: other")
    status, out = check(capsys)
    assert status == 1
    assert "source `probe` is of tenant `default`, target `other` of `blue`: tenants never meet" in out


def test_configuration_and_mappings_are_told_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "password").unlink()
    edit(folder / "mappings/probe.yaml", "to: itsm", "to: sir")
    status, out = check(capsys)
    assert status == 2
    assert [line.split(":")[0] for line in out.splitlines()] == ["bridge.yaml", "mappings/probe.yaml"]


def test_json_has_an_object_for_each_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "mappings/probe.yaml", "to: itsm", "to: sir")
    status, out = check(capsys, "--json")
    (problem,) = json.loads(out)
    assert (problem["level"], problem["id"]) == ("error", None)
    assert (status, problem["file"], problem["line"], problem["column"]) == (1, "mappings/probe.yaml", 8, 14)


def test_json_of_a_good_configuration_is_an_empty_array(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "--json") == (0, "[]\n")


@pytest.fixture
def linted(folder: Path) -> Path:
    """With one lint: nothing closes what the mapping opens."""
    edit(folder / "mappings/probe.yaml", ", close_when: {.status: resolved}", "")
    return folder


def test_a_lint_is_told_with_its_id_and_is_no_error(linted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = check(capsys)
    first, last = out.splitlines()
    assert first.startswith("mappings/probe.yaml:7:1: IB201 there is no `close_when`: ")
    assert last.startswith("bridge.yaml: all is well, but for 1 lint (docs/lints.md explains them) (sources: 1, ")
    assert status == 0


def test_strict_exits_1_on_a_lint(linted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "--strict")[0] == 1


def test_strict_exits_0_without_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "--strict")[0] == 0


def test_a_lint_that_is_explained_is_not_told(linted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(linted / "mappings/probe.yaml", "display: Probe}", "display: Probe}  # IB201: it never says so")
    assert check(capsys, "--strict") == (0, "bridge.yaml: all is well (sources: 1, targets: 2, mappings: 1).\n")


def test_a_lint_that_is_named_without_a_reason_is_told(linted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(linted / "mappings/probe.yaml", "display: Probe}", "display: Probe}  # IB201:")
    assert check(capsys, "--strict")[0] == 1


@pytest.mark.parametrize("option", [("--json",), ("--format", "json"), ("--json", "--format", "json")])
def test_json_tells_a_lint_as_a_warning(linted: Path, capsys: pytest.CaptureFixture[str], option: tuple[str]) -> None:
    status, out = check(capsys, *option)
    (lint,) = json.loads(out)
    assert (status, lint["level"], lint["id"], lint["line"], lint["column"]) == (0, "warning", "IB201", 7, 1)


def test_json_and_another_format_do_not_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "--format", "sarif"]) == 2
    assert "leave one of --json and --format sarif out" in capsys.readouterr().err


def test_a_sample_that_is_no_json_is_left_to_the_test_runner(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mappings/samples/probe.json").write_text("{")
    status, out = check(capsys)
    assert status == 0
    assert "IB104" in out


def test_a_broken_mapping_does_not_keep_the_others_from_being_linted(
    linted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (linted / "mappings/spare.yaml").write_text("mapping: spare\n")
    status, out = check(capsys)
    assert status == 1
    assert "IB201" in out


# --- what one instance has


def told(folder: Path, reading: Reading) -> None:
    save(folder / "var" / "schema-corp.json", reading)


def columns(*names: str, **lengths: int) -> Reading:
    known = {name: Column(type="string", max_length=lengths.get(name)) for name in (*names, *lengths)}
    return Reading(columns={"incident": known})


def test_a_column_that_the_instance_lacks_is_a_lint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, columns("description"))
    status, out = check(capsys, "--instance", "corp")
    assert (status, "`incident` has no column `short_description`" in out) == (0, True)


def test_a_text_that_the_instance_would_cut_is_a_lint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, columns(short_description=5))
    assert "`short_description` of `incident` takes 5" in check(capsys, "--instance", "corp")[1]


def test_a_choice_that_the_instance_lacks_is_a_lint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, Reading(choices={"incident": {"category": frozenset({"inquiry"})}}))
    edit(folder / "mappings/probe.yaml", "create: {", "create: {category: weather, ")
    assert "`weather` is no choice of `category`" in check(capsys, "--instance", "corp")[1]


def test_a_group_that_the_instance_lacks_is_a_lint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, Reading(groups=frozenset({"SOC L1"})))
    edit(folder / "mappings/probe.yaml", "{to: itsm}", "{to: itsm, assignment_group: SOC L2}")
    assert "there is no active group `SOC L2` (did you mean `SOC L1`?)" in check(capsys, "--instance", "corp")[1]


@pytest.mark.parametrize(("defaults", "told_of_it"), [("", True), (", defaults: {location: Oslo}", False)])
def test_a_column_that_the_instance_makes_mandatory_is_a_lint_unless_the_target_fills_it(
    folder: Path, capsys: pytest.CaptureFixture[str], defaults: str, told_of_it: bool
) -> None:
    known = {"short_description": Column(type="string"), "location": Column(type="reference", mandatory=True)}
    told(folder, Reading(columns={"incident": known}))
    edit(
        folder / "bridge.yaml",
        "itsm: {instance: corp, table: incident}",
        f"itsm: {{instance: corp, table: incident{defaults}}}",
    )
    assert ("IB508 `location` of `incident` is mandatory" in check(capsys, "--instance", "corp")[1]) == told_of_it


def test_a_column_that_is_too_short_for_what_records_are_known_by_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(folder, columns("short_description", "description", correlation_id=40))
    status, out = check(capsys, "--instance", "corp")
    assert (status, "bridge.yaml:" in out) == (2, True)
    assert "incident.correlation_id takes 40 characters, and up to 100 are written to it" in out


@pytest.mark.parametrize(
    ("section", "value", "lint"),
    [
        (
            "defaults: {category: nonsense}",
            "nonsense",
            "IB503 'nonsense' is no choice of category: it is left out of every create",
        ),
        ("defaults: {u_missing: zz}", "zz", "IB501 incident has no column u_missing: it is left out of every create"),
        (
            "close: {code: Solved}",
            "Solved",
            "IB503 'Solved' is no choice of close_code: so nothing is closed at this target",
        ),
        ("close: {state: 99, code: Done}", "99", "IB503 '99' is no choice of state: closing will be refused"),
        ("reopen_state: 99", "99", "IB503 '99' is no choice of state: reopening will be refused"),
    ],
)
def test_what_a_target_says_and_the_instance_lacks_is_a_lint(
    folder: Path, capsys: pytest.CaptureFixture[str], section: str, value: str, lint: str
) -> None:
    choices = {"category": {"inquiry"}, "close_code": {"Done"}, "state": {"1", "6"}}
    known = columns("short_description", "description", *choices).columns
    told(folder, Reading(columns=known, choices={"incident": {name: frozenset(of) for name, of in choices.items()}}))
    edit(
        folder / "bridge.yaml",
        "itsm: {instance: corp, table: incident",
        f"itsm: {{instance: corp, table: incident, {section}",
    )
    status, out = check(capsys, "--instance", "corp")
    place = (folder / "bridge.yaml").read_text().splitlines()[3].index(value) + 1
    assert (status, f"bridge.yaml:4:{place}: {lint}" in out) == (0, True), out
    assert check(capsys, "--instance", "corp", "--strict")[0] == 1


@pytest.mark.parametrize(
    ("way", "so"),
    [
        ("staging_table: u_in", "it is left to the transform map of u_in"),
        ("preset: elastic", "it is left out of every create"),
    ],
)
def test_what_a_transform_map_may_translate_is_not_said_to_be_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], way: str, so: str
) -> None:
    told(folder, Reading(choices={"incident": {"category": frozenset({"inquiry"})}}))
    more = f"write: import_set, {way}, defaults: {{category: nonsense}}"
    edit(
        folder / "bridge.yaml",
        "itsm: {instance: corp, table: incident",
        f"itsm: {{instance: corp, table: incident, {more}",
    )
    assert f"IB503 'nonsense' is no choice of category: {so} (" in check(capsys, "--instance", "corp")[1]


def test_targets_of_other_instances_are_not_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, Reading(choices={"incident": {"category": frozenset({"inquiry"})}}))
    corp = 'corp: {url: "https://corp.example", auth: {scheme: basic, username: a, password: {file: password}}}'
    edit(folder / "bridge.yaml", corp, f"{corp}\n  {corp.replace('corp', 'test')}")
    edit(folder / "bridge.yaml", "other: {instance: corp,", "other: {instance: test, defaults: {category: nonsense},")
    assert "nonsense" not in check(capsys, "--instance", "corp")[1]


def test_without_the_instance_nothing_is_said_of_what_it_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(folder, columns("description"))
    assert "all is well (" in check(capsys)[1]


@pytest.mark.parametrize(
    ("name", "said"), [("corp", "`bridge doctor --instance corp --refresh` reads it"), ("crop", "known: corp")]
)
def test_an_instance_that_told_nothing_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main(["check", "--instance", name]) == 2
    assert said in capsys.readouterr().err


def test_enrichment_for_an_instance_without_its_path_is_a_lint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "mappings/probe.yaml").open("a") as file:
        file.write('outputs: {verdict: {threat_lookup: {fields: {finding: "{{ rule }}"}}}}\n')
    assert "IB509 the instance of itsm has no path for `threat_lookup`" in check(capsys)[1]
    edit(
        folder / "bridge.yaml", 'url: "https://corp.example",', 'url: "https://corp.example", enrichment_path: /api/x,'
    )
    assert "IB509" not in check(capsys)[1]

"""The two examples of the language's description run as they stand there, with samples and tables of ours."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_mapping import FACTS

from bridge.correlation.policy import Kind
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.trial import Trial, try_mapping

FOLDER = Path(__file__).parent / "mapping_examples"
MAPPINGS = load_mappings(FOLDER, ["elastic", "aws-securityhub"], today=date(2026, 11, 24))
TRIALS = [trial for mapping in MAPPINGS.values() for trial in try_mapping(mapping, FOLDER)]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.mapping}: {trial.name}")
def test_a_test_of_an_example_passes(trial: Trial) -> None:
    assert trial.findings == ()


def test_the_examples_have_tests() -> None:
    assert [trial.mapping for trial in TRIALS] == ["aws-securityhub", *["elastic"] * 3]


def _sample(name: str, **changes: Any) -> Any:
    document = msgspec.json.decode((FOLDER / "samples" / name).read_bytes())
    return document | changes


def test_the_rows_of_a_table_name_the_team() -> None:
    elastic = MAPPINGS["elastic"]
    alert = _sample("elastic-powershell.json", **{"kibana.alert.severity": "low"})
    groups = {}
    for host in ("WKS-0421", "WKS-0422", "WKS-0423"):
        rendered = elastic.render(alert | {"host": {"hostname": host}}, Kind.CREATE, FACTS, "incident")
        groups[host] = rendered.finds["assignment_group"].by[0][1]
    assert groups == {"WKS-0421": "Payments", "WKS-0422": "Sales, EMEA", "WKS-0423": "SOC L1"}


def test_patch_night_is_quiet_on_saturday_night_in_berlin_only() -> None:
    elastic = MAPPINGS["elastic"]
    alert = _sample("elastic-powershell.json", **{"kibana.alert.rule.name": "Service Installed"})
    night = datetime(2026, 11, 28, 23, 0, tzinfo=UTC)
    assert elastic.map(alert, now=night).suppressed_by == "patch-night"
    assert elastic.map(alert, now=night + timedelta(hours=4)).suppressed_by is None


def test_an_alert_may_join_by_its_host_and_user() -> None:
    elastic = MAPPINGS["elastic"]
    (key,) = elastic.map(_sample("elastic-powershell.json")).join_keys
    assert key.within == timedelta(hours=4)
    assert elastic.map(_sample("elastic-powershell.json", user=None)).join_keys == ()


def test_an_accepted_risk_is_suppressed_by_its_table() -> None:
    securityhub = MAPPINGS["aws-securityhub"]
    (finding,), _ = securityhub.split(_sample("securityhub-s3.json"))
    finding["Resources"][0]["Id"] = "arn:aws:s3:::public-website"
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert securityhub.map(finding, now=now).suppressed_by == "exceptions"


@pytest.mark.parametrize("name", MAPPINGS)
def test_an_example_is_the_same_from_its_stored_text(name: str) -> None:
    assert compile_files(name, MAPPINGS[name].files) == MAPPINGS[name]
    assert any(path.startswith("lookups/") for path in MAPPINGS[name].files)

"""The units of deploy/: each is closed as tightly as the others, and waits for what a stop may take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.cli.serving import SPARE_SECONDS
from bridge.sync.worker import CALL_SECONDS_MAX, CALLS_PER_ROUND_MAX, ROUND_SECONDS_MAX

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
NUMBERS = {"six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def settings_of(unit: Path) -> set[str]:
    """From the umask on: what the service may not do."""
    lines = unit.read_text("utf-8").partition("UMask=")[2].partition("[Install]")[0].splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_is_closed_as_tightly(unit: Path) -> None:
    assert settings_of(unit) == settings_of(DEPLOY / "incident-bridge.service")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_waits_for_the_longest_stop(unit: Path) -> None:
    waits = re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text("utf-8"), re.MULTILINE)
    assert waits is not None
    assert int(waits[1]) > ROUND_SECONDS_MAX + SPARE_SECONDS


def test_what_the_units_say_of_a_round_is_so() -> None:
    for told in re.findall(r"at most (\w+) calls of (\d+) s", "".join(unit.read_text("utf-8") for unit in UNITS)):
        assert (NUMBERS[told[0]], float(told[1])) == (CALLS_PER_ROUND_MAX, CALL_SECONDS_MAX)

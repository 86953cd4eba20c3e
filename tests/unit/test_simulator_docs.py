"""docs/simulator.md: its scenario is one, and nothing that a scenario may say is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from simulated import World

from bridge.simulator.applying import apply_scenario
from bridge.simulator.faults import FaultKind
from bridge.simulator.scenario import FAULT_KEYS, RATE_KEYS, SCENARIO_KEYS, WORDS, parse_scenario
from bridge.simulator.scenario_access import ACCESS_KEYS, API_KEY_KEYS, CLIENT_KEYS, GROUP_KEYS, POLICY_KEYS, USER_KEYS
from bridge.simulator.scenario_imports import ENRICHMENT_KEYS, MAP_KEYS, REJECTION_KEYS, STAGING_KEYS
from bridge.yamlfile import parse_yaml

PAGE = (Path(__file__).parents[2] / "docs/simulator.md").read_text("utf-8")
SCENARIO = re.findall(r"^```yaml\n([\s\S]*?)^```$", PAGE, re.M)[0]
KEYS = {
    *(SCENARIO_KEYS + FAULT_KEYS + RATE_KEYS + ACCESS_KEYS + API_KEY_KEYS + CLIENT_KEYS),
    *(GROUP_KEYS + POLICY_KEYS),
    *(USER_KEYS + ENRICHMENT_KEYS + MAP_KEYS + REJECTION_KEYS + STAGING_KEYS),
}


def test_the_scenario_is_one_and_can_be_put_into_force() -> None:
    world = World()
    apply_scenario(world.simulator, parse_scenario(parse_yaml(SCENARIO.encode(), "docs/simulator.md")))
    assert len(world.simulator.faults.counts()) == 4


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_is_shown(key: str) -> None:
    assert re.search(rf"\b{key}:", SCENARIO)


@pytest.mark.parametrize(("key", "word"), [(key, word) for key, words in WORDS.items() for word in words])
def test_every_word_of_a_switch_is_told(key: str, word: str) -> None:
    (line,) = [line for line in SCENARIO.splitlines() if line.startswith(f"{key}:")]
    assert re.search(rf"\b{word}\b", line)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_is_named(kind: FaultKind) -> None:
    assert f"`{kind}`" in PAGE


def test_every_route_is_named() -> None:
    app = World().call.client.application
    named = [str(rule) for rule in app.url_map.iter_rules() if str(rule).startswith("/simulator/")]
    for rule in named:
        assert re.sub(r"<(\w+)>", lambda part: part[1].upper(), rule) in PAGE, rule

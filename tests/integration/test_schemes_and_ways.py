"""Each auth scheme with each way of writing, over TLS: an incident is created, updated, closed and reopened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from schemes_world import OAUTH, SCHEMES, auth_of, given_access
from sync_world import DISPLAY, World
from ways_world import TARGETS, aim

from bridge.settings import Target
from bridge.simulator.scenario import parse_body
from bridge.simulator.tls import Authority


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_alert_creates_a_worse_one_updates_a_resolve_closes_and_a_return_reopens(
    worlds: Callable[..., World], authority: Authority, secrets: Path, scheme: str, target: Target
) -> None:
    world = worlds(auth=auth_of(scheme, secrets), scenario=parse_body(given_access()), authority=authority)
    aim(world, target)
    assert world.servicenow.url.startswith("https:")

    world.fire(level="low")
    world.idle()
    record = world.record()
    assert (record["correlation_id"], record["correlation_display"], record["impact"]) == ("r1", DISPLAY, "3")
    assert record["sys_created_by"] == "siem"
    begun = record["state"]

    world.fire(level="critical")
    world.idle()
    assert world.record()["impact"] == "1"
    assert "The severity rose to Critical." in world.notes()[0]

    world.resolve()
    world.idle()
    record = world.record()
    assert target.close is not None
    assert (record["state"], record["close_code"]) == (target.close.state, target.close.code)
    assert (world.row().open, world.row().failure) == (False, None)

    world.fire(level="critical")
    world.idle()
    assert world.record()["state"] == begun
    assert (world.row().open, world.row().failure) == (True, None)

    assert len(world.writes()) == 4
    assert world.story().count("token") == int(scheme in OAUTH)
    assert {entry["sys_created_by"] for entry in world.simulator.journal(record["sys_id"])} == {"siem"}

"""What waits because an instance refused our credentials: due at once when the secret is right, and not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from intake_world import library_of, rows
from schemes_world import auth_of, given_access
from sqlalchemy import update
from sync_world import PASSWORD_VARIABLE, PROBE, World, itsm

from bridge.servicenow.breaker import FAILURES_MAX
from bridge.settings import Secret, Transport
from bridge.simulator.access import User
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.scenario import parse_body
from bridge.store.tables import additions, correlations


@pytest.fixture
def client_secret(tmp_path: Path) -> Path:
    path = tmp_path / "client"
    path.write_text("wrong")
    return path


@pytest.fixture
def refused(worlds: Callable[..., World], client_secret: Path) -> World:
    """The token endpoint has refused the client's secret, and names five minutes."""
    auth = auth_of("oauth_client_credentials", client_secret.parent)
    world = worlds(auth=auth, scenario=parse_body(given_access()))
    world.meant = "no_token"
    world.fire("r1")
    world.fire("r2")
    world.fire("r3")
    world.idle()
    assert world.records() == []
    return world


def test_a_secret_that_is_corrected_makes_due_at_once_what_waits_for_it(refused: World, client_secret: Path) -> None:
    client_secret.write_text("c-secret")
    refused.idle()
    assert sorted(record["correlation_id"] for record in refused.records()) == ["r1", "r2", "r3"]


def test_while_the_secret_stays_as_it_is_nothing_is_tried_again(refused: World) -> None:
    called = len(refused.simulator.calls)
    refused.idle()
    assert len(refused.simulator.calls) == called


def test_a_restart_tries_at_once_what_waits_for_a_secret(refused: World, client_secret: Path) -> None:
    client_secret.write_text("c-secret")
    refused.reconnect(refused.instance)
    refused.idle()
    assert len(refused.records()) == 3


def test_a_proxys_address_that_is_corrected_makes_due_what_failed_there_and_what_was_turned_away(
    worlds: Callable[..., World], tmp_path: Path
) -> None:
    """The simulator is a proxy to itself: it takes a request that names the whole URL."""
    world, secret = worlds(), tmp_path / "proxy"
    secret.write_text("http://me:pw@127.0.0.1:9")
    transport = Transport(proxy=Secret(kind="file", name=str(secret)))
    world.reconnect(replace(world.instance, transport=transport))
    rules = [f"r{number}" for number in range(FAILURES_MAX + 2)]
    for rule in rules:
        world.fire(rule)
    world.idle()
    secret.write_text(world.instance.url.replace("//", "//me:pw@"))
    world.idle()
    assert sorted(record["correlation_id"] for record in world.records()) == rules


def test_credentials_that_are_taken_again_unchanged_make_due_what_waits(anywhere: World) -> None:
    anywhere.simulator.faults.add(Fault(kind=FaultKind.UNAUTHENTICATED, path="/", times=None))
    anywhere.fire("r1")
    anywhere.fire("r2")
    anywhere.idle()
    anywhere.simulator.faults.clear()
    with anywhere.store.transaction() as tx:  # the wait of the one is over, the other's lasts
        now = anywhere.store.now(tx)
        for rule, due_at in (("r1", now.replace(year=2100)), ("r2", now)):
            tx.execute(update(correlations).where(correlations.c.correlation_id == rule).values(due_at=due_at))
    anywhere.clock.advance(minutes=2)
    anywhere.idle()
    assert sorted(record["correlation_id"] for record in anywhere.records()) == ["r1", "r2"]


def test_what_goes_with_an_incident_is_due_with_it(anywhere: World, monkeypatch: pytest.MonkeyPatch) -> None:
    anywhere.library = library_of(anywhere.store, PROBE + "attach: true\n")
    anywhere.aim(itsm())
    anywhere.simulator.faults.add(Fault(kind=FaultKind.UNAUTHENTICATED, path="/attachment", times=None))
    anywhere.fire()
    anywhere.idle()
    assert [row.outcome for row in rows(anywhere.store, additions)] == [None]
    anywhere.simulator.faults.clear()
    anywhere.simulator.access.users["bridge"] = User(name="bridge", password="another")
    monkeypatch.setenv(PASSWORD_VARIABLE, "another")
    anywhere.idle()
    assert [row.outcome for row in rows(anywhere.store, additions)] == ["added"]


def test_what_waits_at_another_instance_waits_on(anywhere: World) -> None:
    anywhere.fire()
    with anywhere.store.transaction() as tx:
        later = anywhere.store.now(tx).replace(year=2100)
        waits = {"due_at": later, "failures": 1, "failure": "invalid_client", "failure_text": "x", "target": "other"}
        tx.execute(update(correlations).values(**waits))
    anywhere.reconnect(anywhere.instance)
    anywhere.idle()
    assert anywhere.records() == []

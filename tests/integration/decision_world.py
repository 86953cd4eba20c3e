"""How a row of the decision table is lived through: what is set up at the instance, and what is looked at after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from schemes_world import auth_of, given_access
from sync_world import World, itsm
from ways_world import simulated

from bridge.settings import Target
from bridge.simulator.access import User
from bridge.simulator.acl import Needs
from bridge.simulator.answers import unreadable_field
from bridge.simulator.faults import FaultKind
from bridge.simulator.scenario import parse_body
from bridge.simulator.seed import fixed_id
from bridge.simulator.transform import Rejection
from bridge.simulator.transform import Staging as Simulated
from bridge.sync import worker

WINDOW_SECONDS = 310  # the target's late-commit window, after the intent's deadline
FIRST_LOOK = timedelta(seconds=0.5)  # after a failure, without jitter
POST = frozenset({"POST"})


def one_incident(world: World) -> None:
    assert world.record()["correlation_id"] == "r1"
    row = world.row()
    assert (row.open, row.failure, row.waits_for_person) == (True, None, False)


def fires(world: World) -> None:
    world.fire()
    world.idle()


def called(world: World, code: str, said: str) -> None:
    """What the bridge calls it, and what people read of it: at the correlation, and in the log."""
    row = world.row()
    assert row.failure == code
    assert said in row.failure_text
    assert world.log("failed")[-1]["said"] == row.failure_text


def comes_again_by_itself(world: World, code: str, said: str) -> None:
    called(world, code, said)
    assert world.row().due_at == world.clock.now + FIRST_LOOK


def waits_for_a_person(world: World, code: str, said: str) -> None:
    """However long it takes: nothing more is sent."""
    called(world, code, said)
    before = world.simulator.calls
    world.pass_time(minutes=60)
    assert world.simulator.calls == before
    row = world.row()
    assert (row.failure, row.waits_for_person, row.due_at) == (code, True, None)


def helped(world: World, by: Callable[[World], object]) -> None:
    """The person has done what the message said, and asks again."""
    by(world)
    world.ask_sync()
    world.idle()


def sent_again_after_its_window(world: World, deadline: float = worker.CALL_SECONDS_MAX) -> None:
    """It is looked up all the while; a second create goes out only once the first can no longer happen."""
    begun = world.story()
    world.pass_time(seconds=deadline + WINDOW_SECONDS - 1, step=5)
    assert world.story() == [*begun, "look-up"]
    called(world, "outcome_unknown", "it is looked up until")
    world.pass_time(seconds=1)
    assert world.story() == [*begun, "look-up", "create"]
    one_incident(world)


def found_and_taken(world: World) -> None:
    """The first look finds it, and reads what it shows; nothing is sent again, however much time passes."""
    begun = world.story()
    world.pass_time(seconds=1, step=0.5)
    one_incident(world)
    world.pass_time(minutes=10)
    assert world.story() == [*begun, "look-up", "read"]
    one_incident(world)


# --- what is set up at the instance


SAID = {"error_message": "No caller", "status_message": "Refused by onBefore"}


def transforms(*reject: Rejection) -> Simulated:
    return simulated("correlation_id", reject=reject)


def with_tokens(worlds: Callable[..., World], secrets: Path) -> World:
    return worlds(auth=auth_of("oauth_client_credentials", secrets), scenario=parse_body(given_access()))


def is_user(world: World, *roles: str) -> None:
    world.simulator.add_user(User(name="bridge", password="bridge", roles=frozenset(roles)))


def demands_a_caller(world: World) -> None:
    world.simulator.rows.mandatory["incident"] = ("caller_id",)


def caller() -> Target:
    return itsm(defaults=(("caller_id", fixed_id("sys_user", "fred")),))


# What goes wrong, its code, what is said of it, and what a person does about it.
OPERATION_FAILED: dict[str, tuple[Callable[[World], None], str, tuple[str, str], Callable[[World], None]]] = {
    "ACL": (
        lambda world: is_user(world, "sn_incident_read"),
        "acl",
        ("Give the integration user the role to write incident.", "ACL Exception Insert Failed due to security"),
        lambda world: is_user(world, "itil"),
    ),
    "Data Policy": (
        demands_a_caller,
        "data_policy",
        ("Give the fields it names in the mapping or the target's defaults.", "The following fields are mandatory:"),
        lambda world: world.aim(caller()),
    ),
    "Business Rule": (
        lambda world: world.fail(FaultKind.BUSINESS_RULE, "POST", times=None),
        "business_rule",
        ("Change the rule it names", "was aborted by Business Rule 'Refuse what integrations write"),
        lambda world: world.simulator.faults.clear(),
    ),
}


def may_write_only(world: World) -> None:
    world.simulator.needs["incident"] = Needs(read=frozenset({"reader"}), write=frozenset({"itil"}))
    is_user(world, "itil")


def bad_field(world: World) -> None:
    refusal = unreadable_field()
    told = {"status": refusal.status, "message": refusal.message, "detail": refusal.detail}
    world.fail(FaultKind.REFUSED, "GET", times=None, **told)


def security_incidents_come(world: World) -> None:
    world.simulator.security_incidents = True

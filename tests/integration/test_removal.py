"""Removing a mapping that still keeps incidents in step: refused, or they are let go."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from sync_world import World

from bridge.correlation.policy import Kind
from bridge.errors import Permanent
from bridge.publishing import Signed, put_into_use
from bridge.store import settle as settling
from bridge.store import work
from bridge.store.held import Settlement
from bridge.store.removal import let_go, still_kept
from bridge.store.revisions import Author, KnownBy
from bridge.store.settle import LeaseLost
from bridge.store.tables import incidents

ROBIN = Signed(author=Author(name="robin", known_by=KnownBy.OS_USER), note="a reason", actor="cli:robin")


def publish(world: World) -> None:
    mapping = world.library["probe"].mapping
    put_into_use(world.store, {"probe": mapping}, disk={"probe": mapping.digest}, signed=ROBIN)


def remove(world: World, *, release: bool = False) -> int:
    (change,) = put_into_use(world.store, {"probe": None}, disk={}, signed=ROBIN, release=release)
    return change.let_go


def kept(world: World) -> int:
    with world.store.reading() as tx:
        return still_kept(tx, "probe")


def test_a_mapping_that_keeps_an_incident_in_step_is_not_removed(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1")
    anywhere.idle()
    with pytest.raises(Permanent, match="still keeps 1 correlations in step"):
        remove(anywhere)


def test_what_is_yet_to_become_an_incident_counts_too(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1")
    assert kept(anywhere) == 1


def test_one_whose_incidents_are_all_closed_is_removed(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1")
    anywhere.idle()
    anywhere.resolve("r1")
    anywhere.idle()
    assert remove(anywhere) == 0


def test_released_correlations_are_not_worked_on_and_their_incident_stays_as_it_is(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1", level="low")
    anywhere.idle()
    writes = len(anywhere.writes())
    anywhere.fire("r1", level="critical")
    assert remove(anywhere, release=True) == 1
    anywhere.idle()
    assert (len(anywhere.writes()), anywhere.record()["state"]) == (writes, "1")


def test_the_log_says_how_many_were_let_go(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1")
    remove(anywhere, release=True)
    entry = anywhere.log("published")[-1]
    assert (entry["outcome"], entry["detail"]["let_go"], "revision" in entry) == ("removed", 1, False)


def test_what_was_let_go_does_not_hold_a_second_removal_back(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1")
    anywhere.idle()
    remove(anywhere, release=True)
    publish(anywhere)
    assert remove(anywhere) == 0


def test_a_new_alert_takes_a_correlation_up_again_where_it_was_left(anywhere: World) -> None:
    publish(anywhere)
    anywhere.fire("r1", level="low")
    anywhere.idle()
    remove(anywhere, release=True)
    publish(anywhere)
    anywhere.fire("r1", level="critical")
    assert kept(anywhere) == 1
    anywhere.idle()
    assert anywhere.decisions()[-1] == "update: severity_rose"


@pytest.mark.parametrize("run_out", [False, True])
def test_a_round_that_held_one_when_it_was_let_go_settles_nothing(anywhere: World, *, run_out: bool) -> None:
    anywhere.fire("r1")
    with anywhere.store.transaction() as tx:
        lease = work.claim(tx, anywhere.store.now(tx), paused=())
        assert lease is not None
        held = work.hold(tx, lease)
    with anywhere.store.transaction() as tx:
        if run_out:
            tx.execute(update(incidents).values(lease_until=anywhere.store.now(tx)))
        let_go(tx, "probe")
    settlement = Settlement(kind=Kind.NOTHING.value, reason="repeat", read_seq=1, progress=held.progress, episode=None)
    with pytest.raises(LeaseLost), anywhere.store.transaction() as tx:
        settling.settle(tx, held, settlement, held.incident, anywhere.store.now(tx), decision="nothing: repeat")
    assert anywhere.row("r1").due_at is None


def test_other_mappings_are_not_touched(anywhere: World) -> None:
    anywhere.fire("r1")
    with anywhere.store.transaction() as tx:
        assert let_go(tx, "another") == 0
    anywhere.idle()
    assert len(anywhere.records()) == 1


def test_the_log_names_the_revision_that_rendered_a_write(anywhere: World) -> None:
    anywhere.fire("r1")
    anywhere.idle()
    revision = anywhere.library["probe"].revision
    told = [anywhere.log(action)[0]["revision"] for action in ("delivered", "intended", "written")]
    assert told == [revision] * 3

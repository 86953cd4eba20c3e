"""Many alerts at once: few calls, little memory, and nobody else waits. `make bench` has the same at full size."""

from __future__ import annotations

from intake_world import alert
from storms import calls_of, peak_of, rage, rounds, take_in
from sync_world import World, itsm

CALLS_MAX = 3  # of an incident
BYTES_MAX = 300_000  # that twenty times as many alerts may take more


def test_a_storm_is_one_incident_for_each_problem_and_at_most_three_calls_for_each(anywhere: World) -> None:
    rage(anywhere, alerts=2_000, problems=30, between=anywhere.worker.work)
    for _ in rounds(anywhere):
        pass
    calls = calls_of(anywhere)
    assert len(calls) == len({record["correlation_id"] for record in anywhere.records()}) == 30
    assert max(calls.values()) <= CALLS_MAX


def test_a_problem_that_grows_worse_in_a_storm_takes_a_read_and_a_write_more_for_each_step(world: World) -> None:
    for level in ("low", "medium", "high", "critical"):
        for _ in range(3):
            take_in(world, [alert(f"storm {number}", level=level) for number in range(10)])
            for _ in rounds(world):
                pass
    assert set(calls_of(world).values()) == {1 + 3 * 2}


def test_a_storm_at_one_source_does_not_keep_anothers_first_incident_waiting(anywhere: World) -> None:
    anywhere.aim(itsm(max_creates_per_hour=1_000))
    take_in(anywhere, [alert(f"storm {number}") for number in range(60)])
    anywhere.worker.work()
    take_in(anywhere, [alert("calm")], source="other")
    for _ in range(2):
        anywhere.worker.work()
    assert "calm" in {record["correlation_id"] for record in anywhere.records()}


def test_the_turn_goes_round_the_sources_that_wait(anywhere: World) -> None:
    for source in ("a", "b", "c"):
        take_in(anywhere, [alert(f"{source} {number}") for number in range(3)], source=source)
    for _ in rounds(anywhere):
        pass
    created = [record["correlation_id"][0] for record in anywhere.records()]
    assert created == ["a", "b", "c"] * 3


def test_a_decision_on_many_alerts_takes_no_more_memory_than_one_on_few(anywhere: World) -> None:
    peaks = []
    for rule, many in (("warm", 1), ("few", 100), ("many", 2_000)):
        for begin in range(0, many, 1_000):
            take_in(anywhere, [alert(rule)] * min(1_000, many - begin))
        peaks.append(peak_of(anywhere.worker.work))
        assert anywhere.row(rule).applied_seq == many
    assert peaks[2] <= peaks[1] + BYTES_MAX

"""The judge of joins sees what was made beside an incident that takes in, and nothing else."""
# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.correlation.policy import CORRELATIONS_PER_INCIDENT_MAX
from bridge.log.entries import Action, Entry
from simulation.join_invariants import join_wrongs

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
WITHIN = timedelta(hours=2)
ALIKE = {alert: {"web-1": WITHIN} for alert in ("a", "b", "c")} | {"other": {"web-2": WITHIN}}


def entry(what: str, *, at: datetime) -> Entry:
    """`what`: action, problem, incident, outcome, the alert that is worded, reason."""
    action, problem, incident, outcome, alert, reason, *_ = (*what.split("|"), "", "", "")
    return Entry(
        at=at,
        action=Action(action),
        actor="test",
        outcome=outcome,
        reason=reason,
        target="itsm",
        mapping="probe",
        correlation_id=f"r{problem}",
        correlation=int(problem),
        incident=int(incident),
        detail={"alert": alert} if alert else {},
    )


def wrongs(*what: str, minutes: int = 1) -> list[str]:
    """What is wrong once, after all that, problem 2 is given an incident of its own, 2. `&`: in the step before."""
    entries, at = [], NOW
    for one in (*what, "decided|2|2|create"):
        at += timedelta() if one.startswith("&") else timedelta(milliseconds=1)
        entries.append(entry(one.removeprefix("&"), at=at))
    made = entry("intended|2|2|create|b", at=NOW + timedelta(minutes=minutes, milliseconds=1))
    return list(join_wrongs([*entries, made], ALIKE))


MADE = ("intended|1|1|create|a", "written|1|1|create")
TWO = {
    "of two at once": ["intended|1|1|create|a"],
    "while its create is tried again": ["intended|1|1|create|a", "called|1|1|ambiguous", "failed|1|1|will be tried again"],
    "beside one that is open": [*MADE],
    "beside one that thought better of it, and was made for another value": ["intended|1|1|create|a", "decided|1|1|nothing||resolved_before_incident", "intended|1|1|create|other", "written|1|1|create"],
    "beside one that a person opened again": [*MADE, "ended_by_person|1|1", "reopened|1|1"],
    "beside one that could be written to again": [*MADE, "failed|1|1|waits for a person", "written|1|1|update"],
    "beside one that others had joined and left": [*MADE, "joined|3|1|joined", "split|3|1|taken_out"],
    "beside one whose former holder made it": ["intended|1|1|create|a", "written|1|1|create", "&lease_lost|1|1"],
    "beside one that a former holder came back to": [*MADE, "lease_lost|1|1"],
    "beside what came after one that a person took it out of": [*MADE, "split|3|1|taken_out", "closed|1|1|close", "intended|3|3|create|c"],
    "beside the last one, whoever was before": [*MADE, "closed|1|1|close", "intended|3|3|create|c", "written|3|3|create"],
}  # fmt: skip
ONE = {
    "nothing was made before": [],
    "of another value": ["intended|1|1|create|other", "written|1|1|create"],
    "of no value": ["intended|1|1|create|d", "written|1|1|create"],
    "it has ended": [*MADE, "closed|1|1|close"],
    "a person closed it": [*MADE, "ended_by_person|1|1"],
    "a person deleted it": [*MADE, "record_gone|1|1"],
    "its create was refused": ["intended|1|1|create|a", "called|1|1|permanent", "failed|1|1|waits for a person"],
    "it waits for a person": [*MADE, "failed|1|1|waits for a person"],
    "its problem has thought better of it, and a former holder made it": ["intended|1|1|create|a", "decided|1|1|nothing", "written|1|1|create", "&lease_lost|1|1"],
    "another is kept by what a person took it out of": ["intended|1|1|create|a", "written|1|1|create", "split|3|1|taken_out", "intended|3|3|create|c", "written|3|3|create", "closed|1|1|close"],
    "its problem has thought better of it": ["intended|1|1|create|a", "failed|1|1|will be tried again", "decided|1|1|nothing"],
    "it gave the value up, and was made for another one": ["intended|1|1|create|a", "decided|1|1|nothing||waits_to_join", "intended|1|1|create|other", "written|1|1|create"],
    "its problem has joined another": ["intended|1|1|create|a", "failed|1|1|will be tried again", "joined|1|9|joined"],
    "a person took it out of there": [*MADE, "joined|2|1|joined", "split|2|1|taken_out"],
    "it is full": [*MADE, *(f"joined|{one}|1|joined" for one in range(3, CORRELATIONS_PER_INCIDENT_MAX + 2))],
    "another is the last one, and has ended": [*MADE, "failed|1|1|waits for a person", "intended|3|3|create|c", "written|3|3|create", "written|1|1|update", "closed|3|3|close"],
}  # fmt: skip


@pytest.mark.parametrize("so_far", TWO.values(), ids=TWO)
def test_it_sees_two_incidents_of_what_shares_a_value(so_far: list[str]) -> None:
    assert len(wrongs(*so_far)) == 1


@pytest.mark.parametrize("so_far", ONE.values(), ids=ONE)
def test_it_lets_an_incident_be_made_where(so_far: list[str]) -> None:
    assert wrongs(*so_far) == []


@pytest.mark.parametrize(("minutes", "wrong"), [(120, 1), (121, 0)])
def test_it_heeds_how_long_a_value_takes_in(minutes: int, wrong: int) -> None:
    assert len(wrongs(*MADE, minutes=minutes)) == wrong


def test_a_create_that_is_sent_again_is_no_second_one() -> None:
    assert wrongs("intended|2|2|create|b", "failed|2|2|will be tried again") == []

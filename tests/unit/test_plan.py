"""What a plan tells of two mappings, by alerts written here: counts, outcomes, correlation IDs, fields."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.correlation.policy import CloseWhen
from bridge.mapping.load import compile_files
from bridge.plan import Comparison, Counts, Plan
from bridge.store.bodies import StoredDelivery

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

PROBE = """
mapping: probe
version: 1
owner: tests@corp.example
match: {.alerts|exists: true}
each: {in: ".alerts[]", limit: 100}
extract:
  rule: .rule
  host: .host
  level: .level
  kind: .kind
time: .at
severity:
  from: level
  table: {critical: critical, high: high, low: low}
  default: medium
correlation:
  id: "{{ rule }}"
  display: Probe
  update_every: [15m, 1h]
  close_when: {.state: resolved}
suppress:
  - {name: noise, reason: a test, permanent: true, when: {kind: noisy}}
route:
  - {when: {kind: unwanted}, to: drop}
  - {to: itsm, assignment_group: SOC L1}
fields:
  create: {short_description: "{{ rule }}", impact: 2}
  update: {work_notes: "Seen {{ repeat_count }} times."}
  close: {close_notes: "Over."}
observables: {host: host}
"""


def plan(
    edited: str,
    *alerts: tuple[float, dict[str, Any]],
    until: float = 0,
    close: str = "untouched",
    published: str = PROBE,
) -> Plan:
    """Each alert is a delivery of its own, so many minutes after the one before; then time goes by."""
    batches = [(minutes, [alert]) for minutes, alert in alerts]
    return plan_of(edited, batches, until=until, close=close, published=published)


def plan_of(
    edited: str,
    batches: list[tuple[float, list[Any]]],
    *,
    until: float = 0,
    close: str = "untouched",
    published: str = PROBE,
) -> Plan:
    comparison = Comparison(
        compile_files("probe", {"probe.yaml": published}),
        compile_files("probe", {"probe.yaml": edited}),
        tables={"itsm": "incident", "sir": "sn_si_incident"},
        closes={"itsm": CloseWhen(close), "sir": CloseWhen(close)},
    )
    at = NOW
    for number, (minutes, alerts) in enumerate(batches, 1):
        at += timedelta(minutes=minutes)
        comparison.take(delivery(json.dumps({"alerts": alerts}).encode(), number=number, at=at))
    comparison.advance(at + timedelta(minutes=until))
    return comparison.plan()


def delivery(body: bytes | None, *, number: int = 1, at: datetime = NOW) -> StoredDelivery:
    return StoredDelivery(id=number, source="probe", tenant="default", received_at=at, body=body)


def alert(rule: str = "r1", **more: Any) -> dict[str, Any]:
    return {"rule": rule, **more}


RESOLVED = alert(state="resolved")


# --- counts


@pytest.mark.parametrize(
    ("alerts", "until", "expected"),
    [
        pytest.param([(0, alert())], 0, Counts(created=1, accepted=1), id="a first alert creates"),
        pytest.param([(0, alert()), (1, alert())], 0, Counts(created=1, accepted=2), id="a repeat waits"),
        pytest.param(
            [(0, alert()), (1, alert())], 15, Counts(created=1, updated=1, accepted=2), id="and is told by a timer"
        ),
        pytest.param(
            [(0, alert()), (1, alert()), (30, alert()), (1, alert())],
            0,
            Counts(created=1, updated=1, accepted=4),
            id="which falls due between two alerts, and widens then",
        ),
        pytest.param(
            [(0, alert(level="low")), (1, alert(level="high"))],
            0,
            Counts(created=1, updated=1, accepted=2),
            id="a rise is told at once",
        ),
        pytest.param(
            [(0, alert()), (1, RESOLVED), (1, alert())],
            0,
            Counts(created=1, closed=1, reopened=1, accepted=3),
            id="resolved and back",
        ),
        pytest.param([(0, RESOLVED)], 0, Counts(accepted=1), id="resolved before anything was open"),
        pytest.param([(0, alert(kind="noisy"))], 0, Counts(suppressed=1), id="suppressed"),
        pytest.param([(0, alert(kind="unwanted"))], 0, Counts(dropped=1), id="dropped"),
        pytest.param(
            [(0, alert()), (1, alert(kind="unwanted"))], 0, Counts(created=1, accepted=2), id="but not while it is open"
        ),
        pytest.param(
            [(0, alert(level="low")), (1, alert(kind="noisy", level="high"))],
            0,
            Counts(created=1, updated=1, accepted=2),
            id="a suppressed alert that is worse is taken",
        ),
        pytest.param([(0, alert(""))], 0, Counts(quarantined=1), id="without an identity"),
    ],
)
def test_both_sides_are_counted_as_the_bridge_decides(
    alerts: list[tuple[float, dict[str, Any]]], until: float, expected: Counts
) -> None:
    done = plan(PROBE, *alerts, until=until)
    assert (done.before, done.after) == (expected, expected)


def test_where_a_target_is_never_closed_the_resolve_is_told() -> None:
    assert plan(PROBE, (0, alert()), (1, RESOLVED), close="never").before == Counts(created=1, updated=1, accepted=2)


def test_what_was_over_lends_no_severity_to_what_comes_next() -> None:
    worse = alert(level="critical", kind="unwanted")
    done = plan(PROBE, (0, worse), (1, RESOLVED), (1, alert(level="low")), (1, alert(level="high")))
    assert done.before == Counts(created=1, updated=1, accepted=3, dropped=1)


JOINS = PROBE.replace("suppress:", "  join: [{same: [host], within: 4h}]\nsuppress:", 1)


def test_what_would_join_is_counted_instead_of_a_create() -> None:
    on_host = [(0, alert("r1", host="web-1")), (1, alert("r2", host="web-1")), (300, alert("r3", host="web-1"))]
    told = plan(JOINS, *on_host)
    assert (told.before, told.after) == (
        Counts(created=3, accepted=3),
        Counts(created=2, joined=1, updated=1, accepted=3),
    )


def test_what_shares_an_incident_is_closed_together() -> None:
    both = [(0, alert("r1", host="web-1")), (1, alert("r2", host="web-1"))]
    over = [(1, alert("r1", host="web-1", state="resolved")), (1, alert("r2", host="web-1", state="resolved"))]
    assert plan(JOINS, *both, *over).after == Counts(created=1, joined=1, updated=1, closed=1, accepted=4)
    assert plan(JOINS, *both, *over, (1, alert("r2", host="web-1"))).after.reopened == 1


def test_the_same_mapping_changes_nothing() -> None:
    done = plan(PROBE, (0, alert()), (20, alert()), (1, RESOLVED), (1, alert("")), until=9999)
    assert not done.changes


@pytest.mark.parametrize(
    "body", [b"{", b'{"alerts": 1, "alerts": 2}', b'{"other": 1}'], ids=["not JSON", "two keys", "no match"]
)
def test_a_body_that_cannot_be_read_is_quarantined_on_both_sides(body: bytes) -> None:
    mapping = compile_files("probe", {"probe.yaml": PROBE})
    comparison = Comparison(mapping, mapping, tables={}, closes={})
    comparison.take(delivery(body))
    assert comparison.plan().before == Counts(quarantined=1)


def test_an_erased_body_is_counted_apart() -> None:
    mapping = compile_files("probe", {"probe.yaml": PROBE})
    comparison = Comparison(mapping, mapping, tables={}, closes={})
    comparison.take(delivery(None))
    assert (comparison.plan().erased, comparison.plan().deliveries) == (1, 0)


# --- outcomes


def test_alerts_that_would_be_settled_otherwise_are_grouped_with_an_example() -> None:
    done = plan(PROBE.replace("kind: noisy", "kind: [noisy, loud]"), (0, alert()), (1, alert("r2", kind="loud")))
    (change,) = done.outcomes
    assert (change.before, change.after, change.count, change.alert) == ("accepted", "suppressed", 1, "2-0")


def test_an_alert_that_the_edited_mapping_does_not_yield_is_absent() -> None:
    edited = PROBE.replace('in: ".alerts[]"', 'in: ".alerts[0]"')
    (change,) = plan_of(edited, [(0, [alert(), alert("r2")])]).outcomes
    assert (change.before, change.after, change.alert) == ("accepted", "absent", "1-1")


def test_the_most_frequent_comes_first() -> None:
    edited = PROBE.replace("kind: noisy", "level: low").replace("kind: unwanted", "level: high")
    done = plan(edited, (0, alert("a", level="low")), (0, alert("b", level="high")), (0, alert("c", level="high")))
    assert [(change.after, change.count) for change in done.outcomes] == [("dropped", 2), ("suppressed", 1)]


# --- correlation IDs

FINER = PROBE.replace('id: "{{ rule }}"', 'id: "{{ rule }}:{{ host ?? \\"none\\" }}"')
COARSER = PROBE.replace('id: "{{ rule }}"', 'id: "{{ .group ?? rule }}"')


def test_ids_that_change_are_paired_and_counted() -> None:
    done = plan(FINER, (0, alert(host="a")), (1, alert(host="a")), (1, alert(host="b")))
    assert [(one.before, one.after, one.count, one.alert) for one in done.ids] == [
        ("r1", "r1:a", 2, "1-0"),
        ("r1", "r1:b", 1, "3-0"),
    ]
    assert done.ids_alerts == 3


def test_one_problem_that_becomes_two_opens_two_incidents_beside_the_one_that_is_open() -> None:
    assert plan(FINER, (0, alert(host="a")), (1, alert(host="b"))).new_incidents == 2


def test_two_problems_that_become_one_open_one_more() -> None:
    done = plan(COARSER, (0, alert("r1", group="g")), (1, alert("r2", group="g")))
    assert (len(done.ids), done.new_incidents) == (2, 1)


def test_a_problem_whose_incident_is_closed_opens_none() -> None:
    assert plan(FINER, (0, alert(host="a")), (1, RESOLVED | {"host": "a"})).new_incidents == 0


def test_an_id_that_has_an_open_incident_of_its_own_opens_none() -> None:
    done = plan(COARSER, (0, alert("g")), (1, alert("r2", group="g")))
    assert (len(done.ids), done.new_incidents) == (1, 0)


def test_what_the_edited_mapping_drops_opens_none() -> None:
    edited = FINER.replace("kind: unwanted", "host: a")
    assert plan(edited, (0, alert(host="a"))).new_incidents == 0


def test_what_was_formerly_another_id_is_carried_over_and_opens_none() -> None:
    edited = PROBE.replace('id: "{{ rule }}"', 'id: "v2:{{ rule }}"\n  formerly: "{{ rule }}"')
    done = plan(edited, (0, alert()), (1, alert()))
    assert [(one.before, one.after, one.carried) for one in done.ids] == [("r1", "v2:r1", True)]
    assert (done.new_incidents, done.after.created) == (0, 1)


def test_alerts_that_share_a_former_id_follow_the_one_that_came_first() -> None:
    edited = FINER.replace("  display", '  formerly: "{{ rule }}"\n  display')
    done = plan(edited, (0, alert(host="a")), (1, alert(host="b")), (1, alert(host="a")))
    assert (done.after.created, done.new_incidents) == (1, 0)


def test_ids_that_differ_in_case_alone_are_the_same() -> None:
    assert plan(PROBE.replace("rule: .rule", "rule: .rule | upper"), (0, alert())).ids == ()


# --- fields


def shapes(edited: str, *alerts: tuple[float, dict[str, Any]], until: float = 0) -> list[tuple[str, int, str, Any]]:
    return [
        (shape.operation, shape.count, shape.alert, [(one.field, one.before, one.after) for one in shape.example])
        for shape in plan(edited, *alerts, until=until).shapes
    ]


def test_creates_in_which_the_same_fields_differ_are_one_shape_with_the_first_as_its_example() -> None:
    edited = PROBE.replace('"{{ rule }}", impact: 2', '"{{ rule }}!", urgency: 1')
    expected = [("impact", "2", None), ("short_description", "r1", "r1!"), ("urgency", None, "1")]
    assert shapes(edited, (0, alert()), (1, alert("r2"))) == [("create", 2, "1-0", expected)]


def test_a_field_that_differs_only_sometimes_makes_two_shapes() -> None:
    edited = PROBE.replace("impact: 2", 'impact: {by: severity, table: {high: 1}, default: 2}, u_host: "{{ host }}"')
    found = shapes(edited, (0, alert(level="high", host="h")), (1, alert("r2", host="h")), (1, alert("r3", host="h")))
    assert [(count, [field for field, _, _ in example]) for _, count, _, example in found] == [
        (2, ["u_host"]),
        (1, ["impact", "u_host"]),
    ]


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (PROBE.replace("SOC L1", "SOC L2"), ("assignment_group", "SOC L1", "SOC L2")),
        (PROBE.replace("SOC L1", "SOC L1, else_group: SOC"), ("assignment_group", "SOC L1", "SOC L1 else SOC")),
        (PROBE.replace("to: itsm", "to: sir"), ("route", "itsm", "sir")),
        (PROBE.replace("default: medium", "default: low"), ("severity", "medium", "low")),
        (PROBE.replace("{host: host}", "{name: host}"), ("observables", "host h", "name h")),
    ],
)
def test_what_a_create_depends_on_beside_its_fields_is_told_too(edited: str, expected: tuple[str, str, str]) -> None:
    assert shapes(edited, (0, alert(host="h"))) == [("create", 1, "1-0", [expected])]


@pytest.mark.parametrize(
    ("edited", "alerts", "operation"),
    [
        (PROBE.replace("Seen", "Counted"), [(0, alert()), (1, alert()), (1, alert())], "update"),
        (PROBE.replace("Over.", "Gone."), [(0, alert()), (1, RESOLVED)], "close"),
        (
            PROBE.replace("  close:", '  reopen: {work_notes: "Again."}\n  close:'),
            [(0, alert()), (1, RESOLVED), (1, alert())],
            "reopen",
        ),
    ],
)
def test_writes_other_than_creates_are_compared_once_each(
    edited: str, alerts: list[tuple[float, dict[str, Any]]], operation: str
) -> None:
    assert [(found[0], found[1]) for found in shapes(edited, *alerts, until=15)] == [(operation, 1)]


def test_a_close_that_waits_for_quiet_is_compared_with_one_that_comes_at_once() -> None:
    quiet = PROBE.replace("close_when:", "close_after: 5m\n  close_when:")
    done = plan(quiet.replace("Over.", "Gone."), (0, alert()), (1, RESOLVED), until=10)
    assert (done.before.closed, done.after.closed) == (1, 1)
    assert [(shape.operation, shape.count) for shape in done.shapes] == [("close", 1)]


def test_more_incidents_are_a_change_although_no_field_differs() -> None:
    edited = PROBE.replace("display: Probe", "display: Probe\n  reopen: {within: 0s}")
    done = plan(edited, (0, alert()), (1, RESOLVED), (1, alert()))
    assert (done.before.reopened, done.after.created, done.changes) == (1, 2, True)


@pytest.mark.parametrize(
    ("edited", "field"),
    [
        (PROBE.replace("display: Probe", "display: Another"), "correlation_display"),
        (PROBE + "attach: true\n", "attachment"),
    ],
)
def test_what_goes_with_a_create_beside_its_fields_is_a_change_too(edited: str, field: str) -> None:
    found = plan(edited, (0, alert()))
    assert found.changes
    assert [change.field for shape in found.shapes for change in shape.example] == [field]


def test_what_an_output_would_send_is_a_change_field_by_field() -> None:
    output = "outputs: {a: {threat_lookup: {fields: {finding: '{{ rule }}'}, include_wrap: true}}}\n"
    found = plan(PROBE + output, (0, alert()))
    changes = [(change.field, change.after) for shape in found.shapes for change in shape.example]
    assert changes == [("outputs.a", "threat_lookup, include_wrap"), ("outputs.a.finding", "r1")]


# --- what is left out: two courses where intake does the same, and renderings that cannot differ

COURSE: list[tuple[float, dict[str, Any]]] = [
    (0, alert(host="h", level="low", at="2026-03-10T11:00:00Z")),
    (1, alert(kind="noisy", level="high")),
    (1, alert(host="h", level="high", at="2026-03-10T11:30:00Z")),
    (20, alert("r2", kind="unwanted")),
    (1, RESOLVED),
    (1, alert(level="critical")),
    (1, alert("r3", host="h") | {"odd": 1}),
]


@pytest.mark.parametrize(
    "edited",
    [
        PROBE.replace("version: 1", "version: 2"),
        PROBE + "personal: [host]\n",
        PROBE.replace("{.alerts|exists: true}", "{'.alerts[].odd|exists': true}"),
        PROBE.replace('".alerts[]", limit: 100', '".alerts[] ?? .more", limit: 1, with: {host: ".at"}'),
        PROBE.replace("rule: .rule", "rule: .rule | upper"),
        PROBE.replace("host: .host", "host: .host | upper"),
        PROBE.replace("time: .at\n", ""),
        PROBE.replace("low: low", "low: high"),
        PROBE.replace('"{{ rule }}"\n  display', '"{{ rule }}:{{ host }}"\n  display'),
        PROBE.replace('"{{ rule }}"\n  display', '"x{{ rule }}"\n  formerly: ["{{ rule }}"]\n  display'),
        PROBE.replace("display: Probe", "display: Another"),
        PROBE.replace("update_every: [15m, 1h]", "update_every: [1m]"),
        PROBE.replace("{.state: resolved}", "{.state: gone}"),
        PROBE.replace("close_when:", "close_after: 5m\n  close_when:"),
        PROBE.replace("kind: noisy", "kind: quiet"),
        PROBE.replace("kind: unwanted", "kind: wanted"),
        PROBE.replace("to: itsm", "to: sir"),
        PROBE.replace("impact: 2", "impact: 3"),
        PROBE.replace("impact: 2", 'u_id: "{{ correlation_id }}"').replace('id: "{{ rule }}"', 'id: "x{{ rule }}"'),
        PROBE.replace("Seen", "Counted"),
        PROBE.replace("Over.", "{{ severity }}"),
        PROBE.replace("{host: host}", "{host: [host, rule]}"),
        PROBE + "attach: true\n",
        PROBE + 'outputs: {a: {event: {node: "{{ host }}"}}}\n',
    ],
)
def test_a_plan_tells_the_same_where_nothing_can_be_left_out(edited: str) -> None:
    other = edited.replace("extract:", "extract:\n  unused: .unused")  # means the same, and two sections differ
    other = other.replace("route:", "route:\n  - {when: {.nowhere: set}, to: drop}")
    asked, whole = plan(edited, *COURSE, until=30), plan(other, *COURSE, until=30)
    assert replace(whole, edited=asked.edited) == asked


def test_an_id_that_is_written_is_a_change_of_every_field_that_has_it() -> None:
    published = PROBE.replace("impact: 2", 'u_id: "{{ correlation_id }}"')
    found = plan(published.replace('id: "{{ rule }}"', 'id: "x{{ rule }}"'), (0, alert()), published=published)
    assert [(change.field, change.before, change.after) for shape in found.shapes for change in shape.example] == [
        ("u_id", "r1", "xr1")
    ]


def test_an_id_that_an_event_has_for_its_key_is_a_change_of_it() -> None:
    published = PROBE + 'outputs: {a: {event: {node: "{{ rule }}"}}}\n'
    found = plan(published.replace('id: "{{ rule }}"', 'id: "x{{ rule }}"'), (0, alert()), published=published)
    changed = [(change.field, change.before, change.after) for shape in found.shapes for change in shape.example]
    assert changed == [("outputs.a.message_key", "r1", "xr1")]


def test_a_look_up_table_that_is_edited_is_a_change_of_what_asks_it() -> None:
    asking = PROBE.replace("impact: 2", 'u_team: "{{ host | lookup(hosts, by=host, take=team) }}"')
    comparison = Comparison(
        compile_files("probe", {"probe.yaml": asking, "lookups/hosts.csv": "host,team\nh,one\n"}),
        compile_files("probe", {"probe.yaml": asking, "lookups/hosts.csv": "host,team\nh,two\n"}),
        tables={"itsm": "incident"},
        closes={"itsm": CloseWhen.NEVER},
    )
    comparison.take(delivery(json.dumps({"alerts": [alert(host="h")]}).encode()))
    (shape,) = comparison.plan().shapes
    assert [(change.field, change.before, change.after) for change in shape.example] == [("u_team", "one", "two")]

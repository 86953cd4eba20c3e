"""`bridge mapping plan`, on both engines: what it prints and how it exits."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from intake_world import PROBE, alert, body_of, delivery_of, library_of
from publishing_world import OTHER, THIRD, Command
from sqlalchemy import update

from bridge.store.intake import commit
from bridge.store.tables import deliveries

FINER = PROBE.replace('id: "{{ rule }}"', 'id: "{{ rule }}:{{ kind ?? \\"none\\" }}"')


def take(command: Command, *alerts: dict[str, Any], body: bytes | None = None) -> None:
    """One delivery."""
    store = command.place.store
    prepared = delivery_of(library_of(store), body if body is not None else body_of(*alerts))
    with store.transaction() as tx:
        commit(tx, [prepared], store.now(tx))


@pytest.fixture
def plans(command: Command) -> Command:
    """The published mapping is PROBE."""
    command.publish(PROBE)
    return command


def plan(command: Command, edited: str, *words: str, status: int = 2) -> Any:
    command.place.write(edited)
    return json.loads(command.said("plan", "--json", *words, status=status))


def test_without_an_edit_there_is_nothing_to_replay(plans: Command) -> None:
    take(plans, alert("r1"))
    assert plans.run("plan") == "probe: the files on disk are what is published.\n"
    assert plans.json("plan") == [{"mapping": "probe", "changes": False}]


def test_an_edit_that_changes_nothing_exits_0(plans: Command) -> None:
    take(plans, alert("r1"))
    (found,) = plan(plans, PROBE + "# a word\n", status=0)
    assert (found["changes"], found["alerts"], found["before"] == found["after"]) == (False, 1, True)


def test_a_change_exits_2_and_is_told_with_an_example(plans: Command) -> None:
    take(plans, alert("r1"), alert("r2"))
    (found,) = plan(plans, OTHER)
    (shape,) = found["shapes"]
    assert (shape["operation"], shape["count"], shape["alert"]) == ("create", 2, "1-0")
    assert shape["example"] == [{"field": "short_description", "before": "r1", "after": "Probe: r1"}]


def test_the_text_has_counts_ids_and_fields(plans: Command) -> None:
    take(plans, alert("r1", kind="a"), alert("r1", kind="b"), alert("r2", kind="noisy"))
    plans.place.write(FINER.replace('"{{ rule }}"}', '"Probe: {{ rule }}"}').replace("kind: noisy", "kind: calm"))
    text = plans.said("plan", status=2)
    for part in (
        "Replayed: 3 alerts of 1 delivery.",
        "created      1          3     +2",
        "suppressed → accepted: 1, the first 1-2",
        "Correlation IDs that would change: 3, of 3 alerts.",
        "New incidents for problems that have one open: 2.",
        "r1 → r1:a: 1 alert, the first 1-0",
        "create, 1 time: short_description changed; as of alert 1-0:",
        "    - short_description: r1\n    + short_description: Probe: r1\n",
    ):
        assert part in text


def test_a_limit_cuts_the_lists_and_says_how_much_there_is(plans: Command) -> None:
    take(plans, *(alert(f"r{number}") for number in range(4)))
    (found,) = plan(plans, FINER, "--limit", "1")
    assert (len(found["ids"]), found["ids_changed"]) == (1, 4)
    assert "and 3 more (--limit 4)" in plans.said("plan", "--limit", "1", status=2)


def test_what_a_sender_wrote_reaches_no_terminal_as_it_is(plans: Command) -> None:
    take(plans, alert("r1\x1b[31m"))
    plans.place.write(OTHER)
    assert "\x1b" not in plans.said("plan", status=2)


@pytest.mark.parametrize(
    ("words", "alerts"),
    [
        (("--last", "1"), 1),
        (("--last", "2"), 3),
        (("--last", "99"), 4),
        (("--since", "1h"), 3),
        (("--since", "2d"), 4),
        ((), 4),
    ],
)
def test_the_window_is_so_many_alerts_or_so_much_time(plans: Command, words: tuple[str, ...], alerts: int) -> None:
    take(plans, alert("r1"))
    store = plans.place.store
    with store.transaction() as tx:
        tx.execute(update(deliveries).values(received_at=store.now(tx) - timedelta(days=1)))
    take(plans, alert("r2"), alert("r3"))
    take(plans, alert("r4"))
    (found,) = plan(plans, OTHER, *words)
    assert found["alerts"] == alerts


def test_an_erased_body_is_left_out_and_told(plans: Command) -> None:
    take(plans, alert("r1"))
    take(plans, alert("r2"))
    with plans.place.store.transaction() as tx:
        tx.execute(update(deliveries).where(deliveries.c.id == 1).values(body=None))
    plans.place.write(OTHER)
    assert "Replayed: 1 alert of 1 delivery; of 1 delivery the body was erased." in plans.said("plan", status=2)


def test_a_file_that_cannot_be_used_exits_1(plans: Command) -> None:
    plans.place.write("mapping: probe\nno_such_key: 1\n")
    assert "probe.yaml:2:1: " in plans.run("plan", status=1)


def test_a_mapping_that_was_never_published_exits_1(command: Command) -> None:
    assert "bridge mapping publish probe --note WHY" in command.run("plan", status=1)


def test_a_bridge_yaml_that_is_wrong_exits_1_for_2_means_changes(plans: Command) -> None:
    (plans.place.folder / "bridge.yaml").write_text("nonsense: 1\n")
    assert "nonsense" in plans.run("plan", status=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "7w"), "7w is not a span of time"),
        (("--since", "d"), "d is not a span of time"),
        (("--last", "0"), "--last"),
        (("--last", "1", "--since", "1h"), "not both"),
    ],
)
def test_a_window_that_is_none_is_refused(plans: Command, words: tuple[str, ...], said: str) -> None:
    assert said in plans.run("plan", *words, status=2)


def test_only_the_named_mappings_are_planned(plans: Command) -> None:
    take(plans, alert("r1"))
    plans.place.write(THIRD)
    plans.place.write(PROBE.replace("mapping: probe", "mapping: second"), "second")
    plans.run("publish", "second", "--note", "x")
    assert plans.json("plan", "second") == [{"mapping": "second", "changes": False}]


def test_a_bar_is_shown_on_a_terminal_and_leaves_the_output_alone(
    plans: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    take(plans, alert("r1"))
    plans.place.write(OTHER)
    expected = plans.said("plan", status=2)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert plans.said("plan", status=2) == expected
    assert "Replaying" in terminal.getvalue()


def test_a_ping_has_no_alerts_to_plan_for(plans: Command) -> None:
    store = plans.place.store
    ping = replace(delivery_of(library_of(store), b'{"zen": "Speak like a human."}'), alerts=())
    with store.transaction() as tx:
        commit(tx, [ping], store.now(tx))
    take(plans, alert("r1"))
    (found,) = plan(plans, OTHER)
    assert (found["deliveries"], found["alerts"], found["before"]["quarantined"]) == (1, 1, 0)

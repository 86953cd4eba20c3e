"""What waits, as /readyz tells it."""

from __future__ import annotations

from bridge.store import orders
from bridge.store.backlog import paused
from bridge.store.engine import Store


def test_a_paused_target_is_named_with_the_command_that_resumes_it(store: Store) -> None:
    with store.transaction() as tx:
        for name in ("sir", "itsm", "elsewhere"):
            orders.pause(tx, name, actor="test", now=store.now(tx))
    with store.reading() as tx:
        assert paused(tx, ["itsm", "sir"]) == "paused: itsm, sir; `bridge targets resume itsm sir` ends it"


def test_a_target_that_runs_is_no_problem(store: Store) -> None:
    with store.reading() as tx:
        assert paused(tx, ["itsm"]) == ""

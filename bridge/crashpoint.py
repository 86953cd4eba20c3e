"""Named places where a process may die: at every commit of the engine and at every send. Only tests ever die there.

A test sets the hook in its own process; no setting and no variable of the environment reaches it.
"""

from __future__ import annotations

from collections.abc import Callable

# Transactions, by the name that `Store.transaction` is given.
COMMITS = (
    *("intake", "replay"),
    *("claim", "edited", "noticed", "window_over", "intent"),
    *("unwritten", "joined", "let_go", "not_begun", "counted"),
    *("applied", "not_applied", "refused", "failed", "unreadable", "lease_lost"),
    *("addition_claim", "addition_mark", "addition_done", "addition_refused", "addition_given_up", "addition_again"),
    *("turn", "page", "swept", "strays_gone", "turn_over"),
    *("stray", "stray_later", "merged", "twin_intent", "twin_closed", "twin_told"),
    *("calls", "hastened", "lamps", "seal"),
    *("statement_turn", "statement_left", "stated"),
    *("erased", "pruned", "prune_turn"),
)
SENDS = ("read", "write", "token")

# `commit`: all of it is done, nothing of it is durable. `committed`: it is, and nobody knows yet.
# `send`: nothing has gone out. `answered`: ServiceNow has done what it did, and nothing of that is noted.
CRASHPOINTS = tuple(f"{name}:{at}" for name in COMMITS for at in ("commit", "committed")) + tuple(
    f"{name}:{at}" for name in SENDS for at in ("send", "answered")
)

_hook: Callable[[str], None] | None = None


def crashpoint(name: str) -> None:
    """Nothing, unless a test listens."""
    if _hook is not None:
        _hook(name)


def listen(hook: Callable[[str], None] | None) -> None:
    """For tests: call `hook` with the name of every point that is passed."""
    global _hook  # noqa: PLW0603 (the one switch, for the whole process)
    _hook = hook

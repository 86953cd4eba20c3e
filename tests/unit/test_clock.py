"""The clock of a serving process."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from bridge import wiring


def test_the_clock_goes_on_while_the_machine_is_suspended_and_heeds_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    since_boot = {"seconds": 100.0}

    def clock_gettime(which: int) -> float:
        assert which == time.CLOCK_BOOTTIME  # CLOCK_MONOTONIC stands still in a suspended machine
        return since_boot["seconds"]

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    clock = wiring.steady_clock()
    before = clock()
    since_boot["seconds"] += 3600.0
    monkeypatch.setattr(wiring, "utc_now", lambda: pytest.fail("the wall clock is read once"))
    assert clock() - before == timedelta(hours=1)
    assert wiring.since_boot() == 3700.0  # the deadlines of calls go by it

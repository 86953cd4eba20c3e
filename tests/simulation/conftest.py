"""What the simulation silences is heard again after each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _heard_again() -> Iterator[None]:
    """The stories' own refusals would fill the service's log, so it is off while they are told."""
    yield
    logging.disable(logging.NOTSET)

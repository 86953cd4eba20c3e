"""What a command needs before it can work: the settings, the store, and who gives the order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli import person

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.store.engine import Store


@contextlib.contextmanager
def opened(config: Path) -> Iterator[tuple[Settings, Store]]:
    """bridge.yaml and its store, beside a bridge that may be running. Needs no secret."""
    from bridge.settings import load_settings

    settings = load_settings(config)
    from bridge.wiring import open_for_command

    with contextlib.closing(open_for_command(settings)) as store:
        yield settings, store


def actor() -> str:
    """Who the log names for an order given here: the operating system's user, which is all that is known."""
    return f"cli:{person.os_user()}"

"""The options that commands share, each spelled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

LIMIT_DEFAULT = 50
CONFIG_DEFAULT = Path("bridge.yaml")

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="BRIDGE_CONFIG",
        default=CONFIG_DEFAULT,
        help="Default: $BRIDGE_CONFIG, else ./bridge.yaml.",
    )(command)


def json_option(what: str) -> Callable[[F], F]:
    return click.option("--json", "as_json", is_flag=True, help=f"{what}, instead of text.")


def limit_option(what: str, default: int = LIMIT_DEFAULT) -> Callable[[F], F]:
    return click.option(
        "--limit", type=click.IntRange(min=1), default=default, show_default=True, metavar="N", help=what
    )


def example(*lines: str) -> str:
    """An epilog that click does not rewrap."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)

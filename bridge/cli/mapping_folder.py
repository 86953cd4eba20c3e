"""Where the commands of `bridge mapping` find mapping files, with a bridge.yaml or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.options import CONFIG_DEFAULT

if TYPE_CHECKING:
    from bridge.mapping.compile import Mapping
    from bridge.mapping.recording import Recorder

F = TypeVar("F", bound=Callable[..., Any])


def optional_config(command: F) -> F:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="BRIDGE_CONFIG",
        help="Default: $BRIDGE_CONFIG, else ./bridge.yaml; without one, ./mappings and the targets sir and itsm.",
    )(command)


def folder_and_tables(config: Path | None) -> tuple[Path, dict[str, str]]:
    """The mappings folder, and the table of every target. Raises Misconfigured."""
    from bridge.mapping.trial import TABLES

    if config is None and not CONFIG_DEFAULT.exists():
        return Path("mappings"), TABLES
    from bridge.settings.load import load

    settings = load(config or CONFIG_DEFAULT)
    folder = settings.mappings_path
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # places are shown as a person would write them
    return folder, TABLES | {name: target.table for name, target in settings.targets.items()}


def chosen(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """The mappings that are named, else all. Raises Misconfigured when there are none."""
    from bridge.errors import Misconfigured, Problem

    if found := names or tuple(sorted(path.stem for path in folder.glob("*.yaml"))):
        return tuple(dict.fromkeys(found))
    hint = "name a folder with --config, or write one"
    raise Misconfigured([Problem(str(folder), 0, 0, "there is no mapping here", hint)])


def recorded(folder: Path, name: str) -> tuple[Mapping, Recorder]:
    """A mapping, compiled under a recorder. Raises Misconfigured."""
    from bridge.mapping.load import load_mappings
    from bridge.mapping.recording import Recorder

    recorder = Recorder()
    return load_mappings(folder, [name], watch=recorder)[name], recorder

"""`bridge check`: everything that can be known to be wrong before anything runs, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import plain, show_json
from bridge.errors import Misconfigured, Problem

if TYPE_CHECKING:
    from datetime import date

    from bridge.mapping.compile import Mapping
    from bridge.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    configuration: tuple[Problem, ...] = ()
    mappings: tuple[Problem, ...] = ()
    sources: int = 0
    targets: int = 0
    mapping_files: int = 0

    @property
    def status(self) -> int:
        """2: nothing would start. 1: a mapping is wrong."""
        return 2 if self.configuration else 1 if self.mappings else 0


@click.command(epilog=example("bridge check", "bridge check --config /etc/bridge/bridge.yaml --json"))
@config_option
@json_option("An array with one object for each problem")
def check(config: Path, *, as_json: bool) -> None:
    """Check bridge.yaml, the secrets it refers to, and all mappings.

    Exits 2 when the configuration is wrong, 1 when a mapping is, 0 when all is well.
    """
    from bridge.wiring import utc_now

    checked = checked_file(config, today=utc_now().date())
    problems = [*checked.configuration, *checked.mappings]
    if as_json:
        show_json(problems)
    else:
        for problem in problems:
            click.echo(" ".join(plain(problem).split()))
        if not problems:
            click.echo(
                f"{config}: all is well (sources: {checked.sources}, targets: {checked.targets}, "
                f"mappings: {checked.mapping_files})."
            )
    raise click.exceptions.Exit(checked.status)


def checked_file(config: Path, *, today: date) -> Checked:
    from bridge.settings import check_secrets, load_settings

    try:
        settings = load_settings(config)
    except Misconfigured as error:
        return Checked(configuration=tuple(error.problems))
    secrets = check_secrets(settings)
    wrong, count = _mapping_problems(settings, today)
    return Checked(
        configuration=tuple(secrets or _verifier_problems(settings)),
        mappings=tuple(wrong),
        sources=len(settings.sources),
        targets=len(settings.targets),
        mapping_files=count,
    )


def _verifier_problems(settings: Settings) -> list[Problem]:
    """Secrets that are there, but not such as their scheme can use."""
    from bridge.sources.auth import verifier_for
    from bridge.yamlfile import load_yaml

    found = []
    for source in settings.sources.values():
        try:
            verifier_for(source.name, source.auth, tuple(secret.read() for secret in source.auth.secrets))
        except Misconfigured as error:
            file = load_yaml(settings.file)
            found += [
                file.problem(("sources", source.name, "auth"), f"{problem.file}: {problem.message}", problem.hint)
                for problem in error.problems
            ]
    return found


def _mapping_problems(settings: Settings, today: date) -> tuple[list[Problem], int]:
    """Of every mapping in the folder, in use or not, and of every one that a source names."""
    from bridge.mapping.load import load_mappings
    from bridge.settings_routes import route_problems

    folder = settings.mappings_path
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # places are shown as a person would write them
    names = {path.stem for path in folder.glob("*.yaml")} | {source.mapping for source in settings.sources.values()}
    compiled: dict[str, Mapping] = {}
    found: list[Problem] = []
    for name in sorted(names):
        try:
            compiled |= load_mappings(folder, [name], today=today)
        except Misconfigured as error:
            found += error.problems
    found += route_problems(settings, compiled)
    return sorted(set(found)), len(names)

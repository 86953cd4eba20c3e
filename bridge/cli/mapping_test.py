"""`bridge mapping test`: the tests that stand in mappings."""

from __future__ import annotations

import json
from collections.abc import Mapping as MappingType
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_files import replace_file
from bridge.cli.mapping_folder import chosen, folder_and_tables, optional_config
from bridge.cli.options import example

if TYPE_CHECKING:
    from bridge.mapping.compile import Mapping
    from bridge.mapping.trial import Trial


SHOWN = ("place", "step", "key", "expected", "got", "why")  # of a finding, as JSON


@click.command(
    epilog=example(
        "bridge mapping test elastic github",
        "bridge mapping test --junit results.xml",
        "bridge mapping test elastic --update && git diff mappings/elastic.yaml",
    )
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@optional_config
@click.option("--json", "as_json", is_flag=True, help="An array with one object for each test.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML to this file as well.")
@click.option("--update", is_flag=True, help="Rewrite expectations that fail to what was got.")
def test(names: tuple[str, ...], config: Path | None, *, as_json: bool, junit: Path | None, update: bool) -> None:
    """Run the tests that stand in mappings.

    Of all mappings, or of those named.

    Needs no bridge.yaml: without one, the folder ./mappings and the targets `sir` and `itsm` are taken.

    --update changes values of expectations that stand in the file, keeps all comments, and shows what it changed: read
    it, a test that expects whatever comes tells nothing. A step that could not run stays as it is.

    Exits 1 when a test fails or a mapping is wrong, 2 when bridge.yaml is or there is no such mapping.
    """
    from bridge.errors import Misconfigured
    from bridge.mapping.load import load_mappings
    from bridge.mapping.trial import try_mapping

    try:
        folder, tables = folder_and_tables(config)
        known = chosen(folder, ())
    except Misconfigured as error:
        click.echo(error.message, err=True)
        raise click.exceptions.Exit(2) from error
    try:
        mappings = load_mappings(folder, names or known)
    except Misconfigured as error:
        click.echo(error.message, err=True)
        raise click.exceptions.Exit(1 if set(known).issuperset(names) else 2) from error
    if update:
        mappings |= load_mappings(folder, _update(mappings, folder, tables, quiet=as_json))
    trials = {name: try_mapping(one, folder, tables) for name, one in mappings.items()}
    if junit is not None:
        _write_junit(junit, trials)
    click.echo(_as_json(trials) if as_json else _as_text(trials))
    raise click.exceptions.Exit(0 if all(trial.passed for ran in trials.values() for trial in ran) else 1)


def _update(
    mappings: MappingType[str, Mapping], folder: Path, tables: MappingType[str, str], *, quiet: bool
) -> list[str]:
    """Rewrites what fails, tells it (on stderr beside JSON), and says which files it changed."""
    from bridge.mapping.update import update

    updates = {name: update(one, folder, tables) for name, one in mappings.items()}
    for name, updated in updates.items():
        for trial, finding in updated.changes:
            click.echo(f"UPDATED {trial.mapping}: {trial.name}", err=quiet)
            click.echo("\n".join(f"  {line}" for line in finding.lines()), err=quiet)
        if updated.changes:
            replace_file(Path(mappings[name].yaml.name), updated.text)
    count = sum(len(updated.changes) for updated in updates.values())
    changed = [name for name, updated in updates.items() if updated.changes]
    if count:
        where = "1 file" if len(changed) == 1 else f"{len(changed)} files"
        click.echo(f"{count} {'expectation' if count == 1 else 'expectations'} updated in {where}\n", err=quiet)
    return changed


def _write_junit(path: Path, trials: MappingType[str, list[Trial]]) -> None:
    from bridge.cli.mapping_junit import junit_xml

    try:
        path.write_bytes(junit_xml(trials))
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error


def _as_json(trials: MappingType[str, list[Trial]]) -> str:
    rows = [
        {
            "mapping": trial.mapping,
            "test": trial.name,
            "place": trial.place,
            "passed": trial.passed,
            "findings": [{key: getattr(finding, key) for key in SHOWN} for finding in trial.findings],
        }
        for ran in trials.values()
        for trial in ran
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _as_text(trials: MappingType[str, list[Trial]]) -> str:
    lines = []
    for name, ran in trials.items():
        failed = [trial for trial in ran if not trial.passed]
        lines.append(f"{name}: {len(ran) - len(failed)} of {_tests(len(ran))} passed" if ran else f"{name}: no tests")
        for trial in failed:
            lines.append(f"  FAILED {trial.place}: {trial.name}")
            for finding in trial.findings:
                lines += [f"    {line}" for line in finding.lines()]
    failures = sum(not trial.passed for ran in trials.values() for trial in ran)
    total = sum(len(ran) for ran in trials.values())
    lines.append(f"{failures} of {_tests(total)} failed" if failures else f"{_tests(total)} passed")
    return "\n".join(lines)


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"

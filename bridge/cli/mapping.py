"""`bridge mapping`: what people do with mapping files before they are used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_coverage import coverage
from bridge.cli.mapping_docs import docs
from bridge.cli.mapping_explain import explain
from bridge.cli.mapping_folder import folder_and_tables
from bridge.cli.mapping_plan import plan_command
from bridge.cli.mapping_publish import publish_command, rollback_command
from bridge.cli.mapping_revisions import diff_command, revisions_command

if TYPE_CHECKING:
    from bridge.mapping.expectation import Finding
    from bridge.mapping.trial import Trial


@click.group()
def mapping() -> None:
    """Work with mapping files."""


mapping.add_command(plan_command)
mapping.add_command(publish_command)
mapping.add_command(revisions_command)
mapping.add_command(diff_command)
mapping.add_command(rollback_command)
mapping.add_command(coverage)
mapping.add_command(docs)
mapping.add_command(explain)


@mapping.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--config", type=click.Path(path_type=Path), envvar="BRIDGE_CONFIG", help="Default: ./bridge.yaml.")
@click.option("--json", "as_json", is_flag=True, help="An array with one object for each test.")
def test(names: tuple[str, ...], config: Path | None, *, as_json: bool) -> None:
    """Run the tests that stand in mappings; all of them, or those named.

    Needs no bridge.yaml: without one, the folder ./mappings and the targets `sir` and `itsm` are taken.

    \b
    Example:
      bridge mapping test elastic github

    Exits 1 when a test fails or a mapping is wrong, 2 when bridge.yaml is or there is no such mapping.
    """
    from bridge.errors import Misconfigured
    from bridge.mapping.load import load_mappings
    from bridge.mapping.trial import try_mapping

    try:
        folder, tables = folder_and_tables(config)
    except Misconfigured as error:
        click.echo(error.message, err=True)
        raise SystemExit(2) from error
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    try:
        mappings = load_mappings(folder, names or known)
    except Misconfigured as error:
        click.echo(error.message, err=True)
        raise SystemExit(1 if set(known).issuperset(names) else 2) from error
    if not mappings:
        click.echo(f"{folder}: there is no mapping here; name a folder with --config, or write one", err=True)
        raise SystemExit(2)
    trials = {name: try_mapping(one, folder, tables) for name, one in mappings.items()}
    click.echo(_as_json(trials) if as_json else _as_text(trials))
    raise SystemExit(0 if all(trial.passed for ran in trials.values() for trial in ran) else 1)


def _as_json(trials: Mapping[str, list[Trial]]) -> str:
    rows = [
        {
            "mapping": trial.mapping,
            "test": trial.name,
            "place": trial.place,
            "passed": trial.passed,
            "findings": [asdict(finding) for finding in trial.findings],
        }
        for ran in trials.values()
        for trial in ran
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _as_text(trials: Mapping[str, list[Trial]]) -> str:
    lines = []
    for name, ran in trials.items():
        failed = [trial for trial in ran if not trial.passed]
        lines.append(f"{name}: {len(ran) - len(failed)} of {_tests(len(ran))} passed" if ran else f"{name}: no tests")
        for trial in failed:
            lines.append(f"  FAILED {trial.place}: {trial.name}")
            for finding in trial.findings:
                lines += [f"    {line}" for line in _finding(finding)]
    failures = sum(not trial.passed for ran in trials.values() for trial in ran)
    total = sum(len(ran) for ran in trials.values())
    lines.append(f"{failures} of {_tests(total)} failed" if failures else f"{_tests(total)} passed")
    return "\n".join(lines)


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"


def _finding(finding: Finding) -> list[str]:
    head = f"{finding.place}: {finding.step}, {finding.key}"
    if not finding.diff:
        return [f"{head}: {finding.why}"]
    why = [f"    {finding.why}"] if finding.why else []
    return [f"{head} (- expected, + got)", *(f"    {line}" for line in finding.diff), *why]

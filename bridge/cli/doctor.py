"""`bridge doctor`: each ServiceNow instance, end to end, and what to do about what is wrong there."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from bridge.cli.doctor_admin import administrator as admin_of
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import counted, plain, show_json, show_lines

if TYPE_CHECKING:
    from bridge.doctor.finding import Finding
    from bridge.doctor.visit import Visit
    from bridge.servicenow.auth import Basic
    from bridge.settings import Instance, Settings

CERTAINTY = {"probable": "", "detected": "DETECTED: ", "left": "LEFT: ", "not_detected": "NOT DETECTED: "}
WORDS = {"ok": ("ok", "green"), "wrong": ("WRONG", "bold red"), "not_tested": ("NOT TESTED", "yellow")}


@click.command(
    epilog=example(
        "bridge doctor",
        "bridge doctor --instance prod --refresh",
        "bridge doctor --instance prod --admin ada",
        "bridge doctor --instance dev --write-probe --json",
    )
)
@config_option
@click.option("--instance", "name", metavar="NAME", help="This one alone. Default: every instance of bridge.yaml.")
@click.option(
    "--write-probe",
    is_flag=True,
    help="Also create, change and cancel one marked record of lowest priority in each table that targets name. Needs "
    "`environment: test` of the instance, or its name typed when asked. Nothing is deleted.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Keep the columns, choices and group names that the instance tells: for lengths, for `bridge check`.",
)
@click.option(
    "--admin",
    metavar="USER",
    help="An administrator of the instance, whose password is asked for. Where something is refused, the instance's "
    "own records are read with it, and the cause is told instead of all that are probable. It is kept nowhere.",
)
@click.option(
    "--admin-password",
    metavar="REFERENCE",
    help="Where that password is, file:PATH or env:NAME. Default: it is asked for.",
)
@json_option("An array with one object for each step")
def doctor(
    config: Path,
    name: str | None,
    admin: str | None,
    admin_password: str | None,
    *,
    write_probe: bool,
    refresh: bool,
    as_json: bool,
) -> None:
    """Look at each ServiceNow instance from end to end, and say what is wrong and who should do what.

    It reads, and writes to the instance only with --write-probe. What was not tried is told as NOT TESTED.

    Exits 2 when what bridge.yaml refers to is not there, else 1 when something is wrong, 0 when nothing is.
    """
    from bridge.settings import load_settings

    settings = load_settings(config)
    chosen = _chosen(settings, name)
    administrator = admin_of(chosen, admin, admin_password)
    unusable = {instance.name: _unusable(settings, instance) for instance in chosen}
    if write_probe:
        for instance in chosen:
            if not unusable[instance.name]:
                _permitted(instance)
    found: list[tuple[Instance, Finding]] = []
    for instance in chosen:
        if not as_json:
            click.echo(f"{instance.name}: {instance.url}")
        _warn(settings, instance)
        findings = unusable[instance.name]
        visited = _visited(settings, instance, administrator, write_probe=write_probe, refresh=refresh)
        for finding in findings or visited:
            found.append((instance, finding))
            if not as_json:
                show(finding)
    wrong = [finding for _, finding in found if finding.outcome.value == "wrong"]
    if as_json:
        show_json([{"instance": instance.name, **_as_object(finding)} for instance, finding in found])
    else:
        open_ones = [finding for _, finding in found if finding.outcome.value == "not_tested"]
        click.echo(f"\n{counted(len(wrong), 'step')} wrong, {len(open_ones)} not tested, of {len(found)}.")
    raise click.exceptions.Exit(2 if any(unusable.values()) else 1 if wrong else 0)


def _chosen(settings: Settings, name: str | None) -> list[Instance]:
    known = ", ".join(settings.instances)
    if not settings.instances:
        raise click.UsageError(f"{settings.file} names no instance: `bridge init --servicenow URL` writes one")
    if name is None:
        return list(settings.instances.values())
    if name not in settings.instances:
        raise click.UsageError(f"there is no instance {name} in {settings.file}; known: {known}")
    return [settings.instances[name]]


def _unusable(settings: Settings, instance: Instance) -> list[Finding]:
    """What its secrets, keys and certificates lack; those of sources, and of other instances, may still be missing."""
    from dataclasses import replace

    from bridge.doctor.finding import Cause, wrong
    from bridge.errors import Misconfigured
    from bridge.servicenow.auth import credentials
    from bridge.settings import check_secrets

    problems = check_secrets(_with_this_alone(settings, instance))
    if not problems:
        try:
            credentials(instance)  # a key, say, that no header can carry
        except Misconfigured as error:
            problems = error.problems
    found = []
    for problem in sorted(problems):
        cause = Cause(what="Without it the instance cannot be called.", do=problem.hint)
        found.append(replace(wrong(f"{replace(problem, hint='')}.", cause), step="configuration"))
    return found


def _warn(settings: Settings, instance: Instance) -> None:
    from bridge.settings import open_secrets

    for problem in open_secrets(_with_this_alone(settings, instance)):
        _say(f"warning: {problem}.")


def _with_this_alone(settings: Settings, instance: Instance) -> Settings:
    from dataclasses import replace

    return replace(settings, instances={instance.name: instance}, sources={}, signing_keys=(), anchors=())


def _of_mappings(settings: Settings, targets: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the mappings on disk that sources use for these targets: what they send beside incidents, and the tables that
    they look records up in."""
    from bridge.doctor.outputs import ATTACHMENT
    from bridge.errors import Misconfigured
    from bridge.mapping.finds import tables_found
    from bridge.mapping.load import load_mappings
    from bridge.mapping.outputs import KINDS

    outputs: set[str] = set()
    found: set[str] = set()
    for name in {source.mapping for source in settings.sources.values()}:
        try:
            mapping = load_mappings(settings.mappings_path, [name])[name]
        except Misconfigured:
            continue  # `bridge check` tells it
        if mapping.targets & targets:
            outputs |= {output.kind for output in mapping.outputs} | ({ATTACHMENT} if mapping.attach else set())
            found |= tables_found(mapping.tree)
    return tuple(kind for kind in (*KINDS, ATTACHMENT) if kind in outputs), tuple(sorted(found))


def _permitted(instance: Instance) -> None:
    """A test instance says so in bridge.yaml; for another its name is typed. Nothing was asked of it so far."""
    from bridge.settings import Environment

    if instance.environment is Environment.TEST:
        return
    question = (
        f"{instance.name} ({instance.url}) counts as a production instance. Type its name to let the probe write to it"
    )
    try:
        typed = click.prompt(question, default="", show_default=False, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        hint = "run it at a terminal, or write `environment: test` into bridge.yaml where it is one"
        raise click.UsageError(
            f"{instance.name} counts as a production instance, and nobody typed its name: {hint}"
        ) from error
    if typed != instance.name:
        raise click.UsageError(f"nothing was asked of {instance.name}: its name was not typed")


def _visited(
    settings: Settings, instance: Instance, administrator: Basic | None, *, write_probe: bool, refresh: bool
) -> Iterator[Finding]:
    from bridge.doctor.steps import STEPS
    from bridge.doctor.visit import walk
    from bridge.wiring import visit_to

    targets = tuple(target for target in settings.targets.values() if target.instance == instance.name)
    outputs, finds = _of_mappings(settings, {target.name for target in targets})
    visit = visit_to(
        instance,
        targets,
        say=_say,
        write_probe=write_probe,
        outputs=outputs,
        finds=finds,
        administrator=administrator,
        detects=f"bridge doctor --instance {instance.name} --admin USER" + (" --write-probe" if write_probe else ""),
    )
    with contextlib.closing(visit), _signals_interrupt():
        yield from walk(visit, STEPS)
    if refresh:
        yield _refreshed(settings, visit)


def _say(told: str) -> None:
    """Beside the report, which may be JSON."""
    click.echo(f"  {plain(told)}", err=True)


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM, and a terminal that closes, break a probe off as Ctrl+C does: it cancels what it has made."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refreshed(settings: Settings, visit: Visit) -> Finding:
    from dataclasses import replace

    from bridge.doctor.finding import not_tested, ok
    from bridge.schema_file import save, schema_path

    path = schema_path(settings, visit.instance.name)
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    if visit.reading.is_empty:
        return replace(not_tested(f"Nothing could be read of the schema: {path} stays as it was."), step="refresh")
    try:
        save(path, visit.reading)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
    return replace(ok(f"Wrote {path}."), step="refresh")


def _as_object(finding: Finding) -> dict[str, object]:
    return {
        "step": finding.step,
        "outcome": finding.outcome,
        "seconds": finding.seconds,
        "said": finding.said,
        "causes": [
            {"what": cause.what, "do": cause.do, "certainty": cause.certainty.value} for cause in finding.causes
        ],
        "detects": finding.detects,
    }


def show(finding: Finding) -> None:
    """A line for the step; under it its causes, what was detected or is most probable first, each with what to do."""
    word, style = WORDS[finding.outcome.value]
    time = f"{finding.seconds:.2f} s" if finding.outcome.value != "not_tested" or finding.seconds else ""
    head = (f"  {word:<10}", style), f"  {finding.step:<30}", (f"  {time:>7}", "dim"), f"  {plain(finding.said)}"
    lines = [Text.assemble(*head)]
    for number, cause in enumerate(finding.causes, start=1):
        lines.append(Text(f"              {number}. {CERTAINTY[cause.certainty.value]}{plain(cause.what)}"))
        lines.append(Text(f"                 {plain(cause.do)}"))
    if finding.detects:
        lines.append(Text(f"              Which of them it is: {finding.detects}"))
    show_lines(lines)

"""`bridge check`: everything that can be known to be wrong before anything runs, all at once, and what likely is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import plain, show_json
from bridge.errors import Misconfigured, Problem, Unmappable

if TYPE_CHECKING:
    from datetime import date

    from bridge.alert import Json
    from bridge.dictionary.reading import Reading
    from bridge.mapping.compile import Mapping
    from bridge.settings import Settings

FORMATS = ("text", "json", "sarif")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    configuration: tuple[Problem, ...] = ()
    mappings: tuple[Problem, ...] = ()
    lints: tuple[tuple[Problem, str], ...] = ()  # each with the ID of its lint
    warnings: tuple[str, ...] = ()  # on hosts of which nothing is known now, open secrets, a log that is not sealed
    sources: int = 0
    targets: int = 0
    mapping_files: int = 0

    def status(self, *, strict: bool) -> int:
        """2: nothing would start. 1: a mapping is wrong, or with `strict` a lint has something to say."""
        return 2 if self.configuration else 1 if self.mappings or (strict and self.lints) else 0


@click.command(
    epilog=example(
        "bridge check",
        "bridge check --instance prod",
        "bridge check --strict --format sarif",
        "bridge check --config /etc/bridge/bridge.yaml --json",
    )
)
@config_option
@click.option(
    "--instance",
    metavar="NAME",
    help="Compare mappings and targets with what this instance told `bridge doctor --refresh` of its columns, choices "
    "and groups.",
)
@click.option("--strict", is_flag=True, help="Exit 1 for a lint too.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Default: text. SARIF is for code hosts and editors."
)
@json_option("An array with one object for each problem and lint")
def check(config: Path, instance: str | None, *, strict: bool, form: str | None, as_json: bool) -> None:
    """Check bridge.yaml, the secrets it refers to, and all mappings.

    A lint (IB101 and the like, see docs/lints.md) is allowed and likely not meant: a warning. One that is meant is
    explained in the mapping, in a comment on its line or above it: `# IB103: why`.

    Exits 2 when the configuration is wrong, 1 when a mapping is, 0 when all is well.
    """
    from bridge.wiring import utc_now

    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json is --format json: leave one of --json and --format {form} out")
    checked = checked_file(config, instance, today=utc_now().date())
    for told in checked.warnings:
        click.echo(f"warning: {plain(told)}.", err=True)
    if as_json or form == "json":
        show_json(_found(checked))
    elif form == "sarif":
        from bridge.cli.sarif import sarif

        show_json(sarif(_found(checked)))
    else:
        _show_text(config, checked)
    raise click.exceptions.Exit(checked.status(strict=strict))


def _found(checked: Checked) -> list[Json]:
    errors = [(problem, None) for problem in (*checked.configuration, *checked.mappings)]
    return [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "level": "error" if ident is None else "warning",
            "id": ident,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem, ident in (*errors, *checked.lints)
    ]


def _show_text(config: Path, checked: Checked) -> None:
    """`file:line:col: message (hint)`; of a lint its ID stands before the message."""
    for problem in (*checked.configuration, *checked.mappings):
        click.echo(" ".join(plain(problem).split()))
    for problem, ident in checked.lints:
        told = Problem(problem.file, problem.line, problem.column, f"{ident} {problem.message}", problem.hint)
        click.echo(" ".join(plain(told).split()))
    if checked.status(strict=False) == 0:
        count = len(checked.lints)
        but = f", but for {count} lint{'s' if count > 1 else ''} (docs/lints.md explains them)" if count else ""
        click.echo(
            f"{config}: all is well{but} (sources: {checked.sources}, targets: {checked.targets}, "
            f"mappings: {checked.mapping_files})."
        )


def all_problems(config: Path, *, today: date) -> Misconfigured:
    """What a start that was refused is told: not the first stage's problems alone, but everything."""
    checked = checked_file(config, None, today=today)
    return Misconfigured([*checked.configuration, *checked.mappings])


def checked_file(config: Path, instance: str | None, *, today: date) -> Checked:
    """Raises UsageError when there is no such instance, or its schema was never read."""
    from bridge.sealer import NO_KEY
    from bridge.servicenow.names import look_up
    from bridge.settings import check_secrets, open_secrets
    from bridge.settings.load import read
    from bridge.wiring import resolve

    try:
        settings, problems = read(config)
    except Misconfigured as error:
        return Checked(configuration=tuple(error.problems))
    problems += check_secrets(settings)
    problems += _verifier_problems(settings)
    misfits = _misfits(settings, instance) if instance is not None else []
    problems += [problem for problem, ident in misfits if ident is None]
    nowhere, unresolved = look_up(settings, resolve)
    problems += nowhere
    wrong, compiled, count = _compiled(settings, today)
    return Checked(
        configuration=tuple(sorted(set(problems))),
        mappings=tuple(wrong),
        lints=tuple(
            sorted(
                [
                    *((problem, ident) for problem, ident in misfits if ident is not None),
                    *_lints(settings, compiled, instance, today),
                ]
            )
        ),
        warnings=(*unresolved, *map(str, open_secrets(settings)), *([] if settings.signing_keys else [NO_KEY])),
        sources=len(settings.sources),
        targets=len(settings.targets),
        mapping_files=count,
    )


def _verifier_problems(settings: Settings) -> list[Problem]:
    """Secrets that are there, but not such as their scheme can use."""
    from bridge.sources.auth import SCHEMES, verifier_for
    from bridge.yamlfile import load_yaml

    found = []
    for source in settings.sources.values():
        try:
            secrets = tuple(secret.read() for secret in source.auth.secrets)
        except (KeyError, OSError):
            continue  # told of the secrets
        if source.auth.scheme not in SCHEMES or not all(secret.strip() for secret in secrets):
            continue  # told of the file, or of the secrets
        try:
            verifier_for(source.name, source.auth, secrets)
        except Misconfigured as error:
            file = load_yaml(settings.file)
            found += [
                file.problem(("sources", source.name, "auth"), f"{problem.file}: {problem.message}", problem.hint)
                for problem in error.problems
            ]
    return found


def _misfits(settings: Settings, instance: str) -> list[tuple[Problem, str | None]]:
    """What its targets say and the instance does not have, as the doctor tells it, each with the ID of its lint.

    None: columns that cannot hold what records are known by. No create that needs them is sent.
    """
    from bridge.doctor.schema import misfits
    from bridge.yamlfile import load_yaml

    reading, file = _reading(settings, instance), load_yaml(settings.file)
    return [
        (file.problem(("targets", target.name, *found.at), found.what.rstrip("."), found.do.rstrip(".")), found.lint)
        for target in settings.targets.values()
        if target.instance == instance
        for found in misfits(target, reading)
    ]


def _compiled(settings: Settings, today: date) -> tuple[list[Problem], dict[str, Mapping], int]:
    """Every mapping in the folder, in use or not, and every one that a source names: what is wrong, and the others."""
    from bridge.mapping.load import load_mappings
    from bridge.settings.routes import route_problems

    folder = _folder(settings)
    names = {path.stem for path in folder.glob("*.yaml")}
    compiled: dict[str, Mapping] = {}
    found = _missing(settings, names)
    for name in sorted(names):
        try:
            compiled |= load_mappings(folder, [name], today=today)
        except Misconfigured as error:
            found += error.problems
    found += route_problems(settings, compiled)
    return sorted(set(found)), compiled, len(names)


def _missing(settings: Settings, names: set[str]) -> list[Problem]:
    """Sources that name a mapping which is not there, told where they name it."""
    from bridge.mapping.language import nearest
    from bridge.yamlfile import load_yaml

    asked = [source for source in settings.sources.values() if source.mapping and source.mapping not in names]
    file = load_yaml(settings.file) if asked else None
    return [
        file.problem(
            ("sources", source.name, "mapping"),
            f"there is no mapping `{source.mapping}` in {_folder(settings)}",
            nearest(source.mapping, sorted(names)),
        )
        for source in asked
        if file is not None
    ]


def _lints(
    settings: Settings, mappings: dict[str, Mapping], instance: str | None, today: date
) -> list[tuple[Problem, str]]:
    """Of the mappings that compile. Without an instance, against what every instance has."""
    from bridge.dictionary.standard import STANDARD
    from bridge.mapping.lint.registry import lint
    from bridge.mapping.lint.subject import Against
    from bridge.mapping.model import ENRICHMENTS
    from bridge.mapping.trial import TABLES

    elsewhere = {name for name, target in settings.targets.items() if instance not in (None, target.instance)}
    tables = TABLES | {name: target.table for name, target in settings.targets.items()}
    against = Against(
        schema=STANDARD if instance is None else _reading(settings, instance).schema(),
        tables={name: table for name, table in tables.items() if name not in elsewhere},
        hosts=frozenset(urlsplit(instance.url).hostname or "" for instance in settings.instances.values()) - {""},
        today=today,
        defaults={
            name: frozenset(column for column, _ in target.defaults) for name, target in settings.targets.items()
        },
        one_record=frozenset(name for name, target in settings.targets.items() if target.one_record_per_id),
        pathless=frozenset(
            (name, resource)
            for name, target in settings.targets.items()
            for resource in ENRICHMENTS
            if name not in elsewhere and settings.instances[target.instance].enrichment_path(resource) is None
        ),
    )
    return lint(mappings, _samples(_folder(settings), mappings), against)


def _reading(settings: Settings, instance: str) -> Reading:
    from bridge.schema_file import load, schema_path

    if instance not in settings.instances:
        known = ", ".join(settings.instances) or "none"
        raise click.UsageError(f"there is no instance {instance} in {settings.file}; known: {known}")
    reading = load(schema_path(settings, instance))
    if reading is None:
        raise click.UsageError(
            f"what {instance} has is not known yet: `bridge doctor --instance {instance} --refresh` reads it"
        )
    return reading


def _samples(folder: Path, mappings: dict[str, Mapping]) -> dict[str, Json]:
    """The documents that tests name. One that cannot be read is for `bridge mapping test` to tell."""
    from bridge.mapping.trial import samples_named
    from bridge.sources.document import decode

    found = {}
    for path in sorted(set().union(*(samples_named(mapping) for mapping in mappings.values()))):
        try:
            found[path] = decode((folder / path).read_bytes()).value
        except (OSError, Unmappable):
            continue
    return found


def _folder(settings: Settings) -> Path:
    folder = settings.mappings_path
    if folder.is_relative_to(Path.cwd()):
        return folder.relative_to(Path.cwd())  # places are shown as a person would write them
    return folder

"""`bridge mapping new`: a first mapping for a product, from one of its alerts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_folder import folder_and_tables, optional_config
from bridge.cli.options import CONFIG_DEFAULT, example
from bridge.errors import Misconfigured, Problem, Unmappable

if TYPE_CHECKING:
    from bridge.alert import Json
    from bridge.mapping.skeleton import Sample, Target

SAMPLES = "samples"
SCHEMA = "mapping.schema.json"  # as the first line of a mapping names it


@click.command(
    epilog=example(
        "bridge mapping new falco --from-sample falco.json",
        "bridge mapping new wiz --from-sample wiz.json --each '.data.issues[]'",
    )
)
@click.argument("name")
@click.option(
    "--from-sample",
    "file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A delivery of the product, as JSON.",
)
@click.option("--each", metavar="PATH", help="Where a delivery holds its alerts; guessed when left out.")
@optional_config
def new(name: str, file: Path, each: str | None, config: Path | None) -> None:
    """Write a first mapping for a product, from a sample.

    The sample is one delivery of the product. Identity, severity, time, status and observables are guessed by their
    names and values; a comment on each line says what the sample has there. The mapping compiles, and its test passes.

    The sample is copied to the samples beside the mapping, unless it lies in the mappings folder already: take out
    secrets and names of people first. Nothing that exists is overwritten.
    """
    folder, tables = folder_and_tables(config)
    path = folder / f"{name}.yaml"
    _check_name(name, path)
    raw, stored = file.read_bytes(), _stored(folder, name, file)
    _refuse_to_overwrite(path, folder / stored, raw)
    sample = _sample(raw, str(file), stored, each)
    text = tried(name, sample, raw, _target(config, tables), tables)
    for written, content in ((folder / stored, raw), (path, text.encode())):
        if _write_new(written, content):
            click.echo(f"wrote {written}")
    click.echo(f"\nEvery line is a guess: read {path}, mend it, then\n  bridge mapping test {name}")
    if not (schema := folder / SCHEMA).exists():
        click.echo(f"An editor completes its keys after\n  bridge mapping schema --output {schema}")


def _check_name(name: str, path: Path) -> None:
    from bridge.mapping.model import NAME

    if NAME.fullmatch(name) is None:
        raise click.UsageError(f"`{name}` is not a mapping's name: lower-case letters, digits, - and _")
    if path.exists():
        raise click.UsageError(f"nothing was written: {path} is there already; take another name")


def _stored(folder: Path, name: str, file: Path) -> str:
    """The sample's path below the mappings folder."""
    if file.resolve().is_relative_to(folder.resolve()):
        return file.resolve().relative_to(folder.resolve()).as_posix()
    return f"{SAMPLES}/{name}.json"


def _refuse_to_overwrite(path: Path, stored: Path, raw: bytes) -> None:
    if stored.exists() and stored.read_bytes() != raw:
        raise click.UsageError(f"nothing was written: {stored} is there already, with another content than the sample")
    if not path.parent.is_dir():
        raise click.UsageError(f"there is no folder {path.parent}: make it, or name a bridge.yaml with --config")


def _sample(raw: bytes, shown: str, stored: str, each: str | None) -> Sample:
    from bridge.mapping.language import Path
    from bridge.mapping.likely import likely_each
    from bridge.mapping.skeleton import Sample
    from bridge.mapping.written import written
    from bridge.sources.document import decode

    try:
        document = decode(raw).value
    except Unmappable as error:
        raise Misconfigured([Problem(shown, 0, 0, error.message)]) from error
    if each is not None:
        elements = _elements(document, each, shown)
    elif (guessed := likely_each(document)) is not None:
        each, elements = written(Path((*guessed[0], None))), guessed[1]
    else:
        each, elements = "", [document]
    if not elements or not isinstance(elements[0], dict) or not elements[0]:
        raise Misconfigured([Problem(shown, 0, 0, "holds no alert to look at", "an object, or a list of them")])
    return Sample(path=stored, each=each, alert=elements[0])


def _elements(document: Json, each: str, shown: str) -> list[Json]:
    from bridge.mapping.evaluate import Scope, compile_path
    from bridge.mapping.language import LanguageError, parse_path

    try:
        found = compile_path(parse_path(each))(Scope(document, "", []))
    except LanguageError as error:
        raise click.BadParameter(f"{error.message} ({error.hint})" if error.hint else error.message) from error
    if found is None or found == []:
        raise Misconfigured([Problem(shown, 0, 0, f"there is nothing at {each}", "see --each")])
    return found if isinstance(found, list) else [found]


def _target(config: Path | None, tables: Mapping[str, str]) -> Target:
    """The first of bridge.yaml that takes ITSM incidents, else its first; without one, `itsm`."""
    from bridge.mapping.model import TABLE_KIND
    from bridge.mapping.skeleton import Target
    from bridge.settings.load import load

    names = list(load(config or CONFIG_DEFAULT).targets) if config or CONFIG_DEFAULT.exists() else list(tables)
    kinds = {name: TABLE_KIND.get(tables[name], "") for name in names}
    name = next((name for name, kind in kinds.items() if kind == "itsm"), names[0])
    return Target(name=name, kind=kinds[name])


def tried(name: str, sample: Sample, raw: bytes, target: Target, tables: Mapping[str, str]) -> str:
    """The text of the mapping, its expectations filled in by a run of its test, laid out."""
    from bridge.mapping.format import formatted
    from bridge.mapping.load import compile_files
    from bridge.mapping.skeleton import skeleton
    from bridge.mapping.update import update
    from bridge.yamlfile import parse_yaml

    file = f"{name}.yaml"
    mapping = compile_files(name, {file: skeleton(name, sample, target)})
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / sample.path
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(raw)
        text = update(mapping, Path(folder), tables).text
    return formatted(parse_yaml(text.encode(), file))


def _write_new(path: Path, content: bytes) -> bool:
    """False when the file is there already."""
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise Misconfigured([Problem(str(path), 0, 0, f"cannot be written: {error.strerror}")]) from error
    return True

"""`bridge mapping fmt`: every mapping file in the one layout."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_files import file_of, replace_file
from bridge.cli.mapping_folder import chosen, folder_and_tables, optional_config
from bridge.cli.options import example
from bridge.errors import Misconfigured, Problem

if TYPE_CHECKING:
    from bridge.yamlfile import YamlFile


@click.command(
    epilog=example(
        "bridge mapping fmt", "bridge mapping fmt elastic _shared/routes --diff", "bridge mapping fmt --check"
    )
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file is not laid out so.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@optional_config
def fmt(names: tuple[str, ...], config: Path | None, *, check: bool, diff: bool) -> None:
    """Lay out mapping files, all in one way.

    Without names, all mappings and what they include. Sections come in one order, with an empty line between them, two
    blanks a level, the values of `extract` below one another. Quotes, comments and line breaks stay; what a file says
    does not change.

    Exits 1, with nothing written, when a file is not YAML, and 2 when there is no such file.
    """
    folder, _ = folder_and_tables(config)
    texts = _laid_out(folder, [file_of(folder, name) for name in chosen(folder, names)], with_included=not names)
    changed = [(file, text) for file, text in texts if text != _on_disk(file)]
    for file, text in changed:
        if diff:
            click.echo("\n".join(_difference(file, text)))
        if check or diff:
            click.echo(f"{file.name}: would be laid out anew", err=diff)
            continue
        replace_file(Path(file.name), text)
        click.echo(f"{file.name}: laid out")
    click.echo(_summary(len(changed), len(texts), would=check or diff), err=diff)
    raise click.exceptions.Exit(1 if check and changed else 0)


def _laid_out(folder: Path, paths: list[Path], *, with_included: bool) -> list[tuple[YamlFile, str]]:
    """Each file and its text as it should be. All that is wrong with any of them is told, and exits 1."""
    from bridge.mapping.format import formatted
    from bridge.yamlfile import load_yaml

    problems: list[Problem] = []
    found: list[tuple[YamlFile, str]] = []
    for path in paths:  # grows by what is included
        try:
            file = load_yaml(path)
            found.append((file, formatted(file)))
        except Misconfigured as error:
            problems += error.problems
            continue
        if with_included:
            paths += [included for included in _included(folder, file) if included not in paths]
    if problems:
        click.echo(Misconfigured(problems).message, err=True)
        raise click.exceptions.Exit(1)
    return found


def _included(folder: Path, file: YamlFile) -> Iterator[Path]:
    """The files it includes that are there; what is wrong with an include is for `bridge check` to say."""
    include = file.value.get("include", []) if isinstance(file.value, dict) else []
    for path in include if isinstance(include, list) else [include]:
        if isinstance(path, str) and (folder / path).is_file():
            yield folder / path


def _on_disk(file: YamlFile) -> str:
    """With a byte order mark and carriage returns, if it has them: they are part of the layout."""
    return Path(file.name).read_bytes().decode()


def _difference(file: YamlFile, text: str) -> Iterator[str]:
    old, new = file.source.splitlines(), text.splitlines()
    return difflib.unified_diff(old, new, file.name, file.name, lineterm="")


def _summary(changed: int, files: int, *, would: bool) -> str:
    noun = "file" if files == 1 else "files"
    if not changed:
        return f"{files} {noun} in order"
    verb = "would be" if would else "was" if changed == 1 else "were"
    return f"{changed} of {files} {noun} {verb} laid out anew"

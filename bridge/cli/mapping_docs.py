"""`bridge mapping docs`: a page about each mapping, for the people whose alerts it maps."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.mapping_folder import folder_and_tables, optional_config, recorded
from bridge.cli.options import example


@click.command(
    epilog=example("bridge mapping docs elastic", "bridge mapping docs elastic github --output docs/mappings")
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where files go.")
@optional_config
def docs(names: tuple[str, ...], output: Path | None, config: Path | None) -> None:
    """Write a page about each mapping, with a picture.

    In Markdown; the picture is of its routes.

    With --output, NAME.md and NAME.svg are written there, over older ones; without, the pages are printed.
    """
    from bridge.mapping.graph import draw
    from bridge.mapping.page import branches, page

    folder, _ = folder_and_tables(config)
    for name in dict.fromkeys(names):
        mapping, recorder = recorded(folder, name)
        root = recorder.root
        assert root is not None, "the mapping was compiled"  # noqa: S101
        title = f"The routes of {mapping.display}"
        picture = draw(title, branches(root))
        if output is None:
            click.echo(page(mapping, root, picture))
        else:
            _write(output / f"{name}.svg", picture + "\n")
            _write(output / f"{name}.md", page(mapping, root, f"![{title}]({name}.svg)"))


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{file} written")

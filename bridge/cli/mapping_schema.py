"""`bridge mapping schema`: the vocabulary of mapping files, for an editor."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bridge.cli.options import example


@click.command(epilog=example("bridge mapping schema --output mappings/mapping.schema.json"))
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to stdout.")
def schema(output: Path | None) -> None:
    """Print a JSON Schema of mapping files, for editors.

    With it an editor completes keys, tells what they mean, marks what is misspelt. In VS Code with the extension YAML
    (redhat.vscode-yaml), the first line of a mapping switches it on:

    \b
      # yaml-language-server: $schema=./mapping.schema.json
    """
    text = schema_text()
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {output}")


def schema_text() -> str:
    from bridge.mapping.schema import mapping_schema

    return json.dumps(mapping_schema(), indent=2, ensure_ascii=False) + "\n"

"""`bridge log verify`: what the verifier, which auditors can have as one file, says of an export."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.options import example, json_option


@click.command("verify", epilog=example("bridge log verify log.jsonl --key var/log.pub --from anchored.txt"))
@click.argument("export", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    required=True,
    help="The public key: var/log.pub, or a vkey line. May be repeated, after the key was changed.",
)
@click.option(
    "--from",
    "since",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="A file with a checkpoint that was anchored: the log must go on from it.",
)
@json_option("One object")
@click.pass_context
def verify_command(
    context: click.Context, export: Path, keys: tuple[Path, ...], since: Path | None, *, as_json: bool
) -> None:
    """Verify an export (JSONL), offline, with the public key alone. Exits 1 when it does not verify.

    The same without the bridge: deploy/verify_log.py. docs/auditors-guide.md says what a verdict means.
    """
    from bridge.log.verify import run

    context.exit(run(export, keys, since, as_json=as_json))

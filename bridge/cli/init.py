"""`bridge init`: everything that a first try needs, with no secret to invent."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bridge.cli.options import example


@click.command(epilog=example("bridge init try && cd try && bridge check"))
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(folder: Path) -> None:
    """Write a bridge.yaml for the simulator, the key pair of the log, and a sample mapping with its source.

    Nothing that exists is overwritten.
    """
    from bridge.cli.init_files import ALERT, NEXT_STEPS

    contents = _contents()
    existing = [str(folder / path) for path in contents if (folder / path).exists()]
    if existing:
        raise click.UsageError(f"nothing was written: {', '.join(existing)} would be overwritten; name another folder")
    try:
        for path, (content, mode) in contents.items():
            _write(folder / path, content, mode)
            click.echo(f"wrote {folder / path}")
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    click.echo()
    click.echo(NEXT_STEPS.format(folder="this folder" if folder == Path() else folder, alert=ALERT))


def _contents() -> dict[str, tuple[bytes, int]]:
    """path -> (content, mode)"""
    from bridge.cli.init_files import BRIDGE_YAML, SIMULATOR_PASSWORD, TRY_SAMPLE, TRY_YAML

    private, public = _key_pair()
    return {
        "var/log.key": (private, 0o600),
        "var/log.pub": (public, 0o644),
        "var/simulator.password": (f"{SIMULATOR_PASSWORD}\n".encode(), 0o600),
        "mappings/try.yaml": (TRY_YAML.encode(), 0o644),
        "mappings/samples/try.json": (TRY_SAMPLE.encode(), 0o644),
        "bridge.yaml": (BRIDGE_YAML.encode(), 0o644),
    }


def _key_pair() -> tuple[bytes, bytes]:
    """A new Ed25519 pair as PEM: what signs the log, and what an auditor is given."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Never readable by more people than `mode` says, not even for a moment; never over another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)

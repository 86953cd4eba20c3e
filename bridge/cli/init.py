"""`bridge init`: everything that a first try needs, with no secret to invent."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bridge.cli.options import example


@click.command(
    epilog=example(
        "bridge init try && cd try && bridge check", "bridge init --servicenow https://acme.service-now.com prod"
    )
)
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--servicenow",
    metavar="URL",
    help="A bridge.yaml for this instance instead of the simulator: asks for its credentials, tries them, and writes "
    "the targets whose table answers, in mode observe.",
)
def init(folder: Path, servicenow: str | None) -> None:
    """Write a bridge.yaml for the simulator, the key pair of the log, and a sample mapping with its source.

    Nothing that exists is overwritten. With --servicenow nothing is written before the instance has answered.
    """
    existing = [str(folder / path) for path in FILES if (folder / path).exists()]
    if existing:
        raise click.UsageError(f"nothing was written: {', '.join(existing)} would be overwritten; name another folder")
    contents, next_steps = _for_simulator() if servicenow is None else _for_instance(servicenow)
    try:
        for path, (content, mode) in contents.items():
            _write(folder / path, content, mode)
            click.echo(f"wrote {folder / path}")
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    click.echo()
    click.echo(next_steps.replace("{folder}", "this folder" if folder == Path() else str(folder)))


# Whatever may be written, and so must not be there.
SECRETS = ("var/simulator.password", "var/servicenow.password", "var/servicenow.key")
FILES = (
    "var/log.key",
    "var/log.pub",
    "var/.gitignore",
    *SECRETS,
    "mappings/try.yaml",
    "mappings/samples/try.json",
    "bridge.yaml",
)

Contents = dict[str, tuple[bytes, int]]  # path -> (content, mode)


def _for_simulator() -> tuple[Contents, str]:
    """What is written, and what a person does next."""
    from bridge.cli import init_files as texts

    bridge_yaml = texts.BRIDGE_YAML.format(instances=texts.SIMULATOR_INSTANCE, targets=texts.SIMULATOR_TARGETS)
    secret: Contents = {"var/simulator.password": (f"{texts.SIMULATOR_PASSWORD}\n".encode(), 0o600)}
    return _contents(bridge_yaml, secret, texts.TRY_YAML), texts.NEXT_STEPS.replace("{alert}", texts.ALERT)


def _for_instance(url: str) -> tuple[Contents, str]:
    from bridge.cli import init_files as texts
    from bridge.cli.init_servicenow import connect

    connection = connect(url)
    targets = [
        texts.TARGET.format(target=target, instance=connection.name, table=table)
        for target, table in connection.targets.items()
    ]
    bridge_yaml = texts.BRIDGE_YAML.format(instances=connection.instance_yaml, targets="".join(targets))
    try_yaml = texts.TRY_YAML.replace("{to: itsm, ", f"{{to: {next(iter(connection.targets))}, ")
    try_yaml = try_yaml.replace("route: itsm", f"route: {next(iter(connection.targets))}")
    next_steps = texts.SERVICENOW_STEPS.replace("{alert}", texts.ALERT).replace("{instance}", connection.name)
    return _contents(bridge_yaml, {connection.secret_file: (connection.secret, 0o600)}, try_yaml), next_steps


def _contents(bridge_yaml: str, secret: Contents, try_yaml: str) -> Contents:
    from bridge.cli.init_files import GITIGNORE, TRY_SAMPLE

    private, public = _key_pair()
    return {
        "var/.gitignore": (GITIGNORE.encode(), 0o644),
        "var/log.key": (private, 0o600),
        "var/log.pub": (public, 0o644),
        **secret,
        "mappings/try.yaml": (try_yaml.encode(), 0o644),
        "mappings/samples/try.json": (TRY_SAMPLE.encode(), 0o644),
        "bridge.yaml": (bridge_yaml.encode(), 0o644),
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

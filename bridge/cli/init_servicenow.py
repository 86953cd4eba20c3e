"""The first of `bridge init --servicenow`: credentials are asked for and tried before anything is written."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bridge.cli.doctor import show
from bridge.errors import Misconfigured

if TYPE_CHECKING:
    from bridge.settings import Instance, Target

SCHEMES = ("basic", "api_key")
TABLES = {"itsm": "incident", "sir": "sn_si_incident"}  # target -> table
SECRET_FILES = {"basic": "var/servicenow.password", "api_key": "var/servicenow.key"}
NOTHING = """\
Nothing was written: no table answers. Mend what is wrong, and try again.
Where it takes OAuth, a proxy, a private authority or a client certificate, begin with `bridge init` alone:
docs/servicenow-setup.md has what to write into its bridge.yaml."""
NAMED = re.compile(r"[a-z][a-z0-9-]{0,39}")
DEFAULT_NAME = "servicenow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An instance that has answered."""

    name: str
    instance_yaml: str  # its lines in bridge.yaml
    secret_file: str
    secret: bytes = field(repr=False)
    targets: dict[str, str]  # target -> its table, which answers


def connect(url: str) -> Connection:
    """Ask, try, and show each step. Raises UsageError for a wrong URL, Exit(1) when no table answers."""
    if not url.strip():
        raise click.UsageError("--servicenow wants the URL of the instance, such as https://acme.service-now.com")
    name = _name_for(url)
    with tempfile.TemporaryDirectory() as folder:  # a URL that cannot be is told before anything is asked
        _settings(Path(folder), name, _instance_yaml(name, url, SCHEMES[0], "nobody"))
    scheme = click.prompt("How the bridge logs in", type=click.Choice(SCHEMES), default=SCHEMES[0])
    username = click.prompt("User name of the integration user") if scheme == "basic" else ""
    secret = _secret(scheme)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "var").mkdir(mode=0o700)
        kept = Path(folder) / SECRET_FILES[scheme]
        kept.touch(mode=0o600)
        kept.write_bytes(secret)
        text = _instance_yaml(name, url, scheme, username)
        targets = _answering(*_settings(Path(folder), name, text))
    if not targets:
        click.echo(f"\n{NOTHING}", err=True)
        raise click.exceptions.Exit(1)
    for target in TABLES.keys() - targets.keys():
        click.echo(f"\nNo target {target} is written: {TABLES[target]} does not answer, as is told above.")
    return Connection(name=name, instance_yaml=text, secret_file=SECRET_FILES[scheme], secret=secret, targets=targets)


def _secret(scheme: str) -> bytes:
    """As its file will hold it. Raises UsageError for one that could not be sent."""
    from bridge.servicenow.auth import IN_HEADER

    what = "Password" if scheme == "basic" else "API key"
    secret: bytes = click.prompt(what, hide_input=True).encode()
    if not secret.strip():
        raise click.UsageError(f"nothing was written: the {what} is blank")
    if scheme == "api_key" and IN_HEADER.fullmatch(secret) is None:
        raise click.UsageError(
            "nothing was written: the API key holds what no header can carry, such as a blank or a letter outside "
            "ASCII; copy its Token again, without what stands around it"
        )
    return secret + b"\n"


def _name_for(url: str) -> str:
    """As people call the instance: the first part of its host."""
    try:
        label = (urlsplit(url).hostname or "").partition(".")[0]
    except ValueError:
        label = ""
    return label if NAMED.fullmatch(label) else DEFAULT_NAME


def _instance_yaml(name: str, url: str, scheme: str, username: str) -> str:
    import json

    from bridge.cli.init_files import INSTANCE

    secret = f"{{file: {SECRET_FILES[scheme]}}}"
    known = f"username: {json.dumps(username)}, password: {secret}" if scheme == "basic" else f"key: {secret}"
    return INSTANCE.format(name=name, url=json.dumps(url), auth=f"{{scheme: {scheme}, {known}}}")


def _settings(folder: Path, name: str, text: str) -> tuple[Instance, tuple[Target, ...]]:
    """As bridge.yaml will be read. Its mistakes are those of the URL and the user name, which have no line yet."""
    from bridge.cli.init_files import BRIDGE_YAML, TARGET
    from bridge.settings import load_settings

    targets = (TARGET.format(target=target, instance=name, table=table) for target, table in TABLES.items())
    file = folder / "bridge.yaml"
    file.write_text(BRIDGE_YAML.format(instances=text, targets="".join(targets)))
    try:
        settings = load_settings(file)
    except Misconfigured as error:
        told = (problem.message + (f" ({problem.hint})" if problem.hint else "") for problem in error.problems)
        raise click.UsageError(f"--servicenow {'; '.join(told)}") from error  # not shown: it may hold a password
    return settings.instances[name], tuple(settings.targets.values())


def _answering(instance: Instance, targets: tuple[Target, ...]) -> dict[str, str]:
    """target -> table, of those that may be read."""
    from bridge.doctor.finding import Outcome
    from bridge.doctor.steps import READS
    from bridge.doctor.visit import walk
    from bridge.wiring import visit_to

    well = set()
    visit = visit_to(instance, targets, say=click.echo)
    with contextlib.closing(visit.client):
        for finding in walk(visit, READS):
            show(finding)
            well |= {finding.step} if finding.outcome is Outcome.OK else set()
    return {target.name: target.table for target in targets if f"read {target.table}" in well}

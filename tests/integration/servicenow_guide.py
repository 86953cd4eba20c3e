"""docs/servicenow-setup.md, played from top to bottom in one folder, against one simulated instance.

What a block is, its first line says:

    console SCENE    commands, and what they print, once SCENE was set up in the instance; `…` stands for lines left out
    yaml             sections that replace those of bridge.yaml, from here on
    anything else    is not played

Times, the certificate's issuer and the difference of the clocks are always shown alike.

What the commands print today is written into the page by

    PYTHONPATH=.:tests python tests/integration/servicenow_guide.py
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import certifi
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from doctor_world import certificate_in, server_with
from mapping_guide import LEFT_OUT, Block, agrees, blocks, commands, table_of_page, with_sections
from requests import adapters

from bridge.cli import main
from bridge.doctor.roles import needs_of
from bridge.settings import Staging, Target, Write
from bridge.settings.targets import PRESETS as STAGING
from bridge.simulator.access import CLIENT, JWT, PASSWORD, ApiKey, OAuthClient, User
from bridge.simulator.acl import Needs
from bridge.simulator.server import SimulatorServer
from bridge.simulator.transform import Staging as StagingTable
from bridge.simulator.transform import TransformMap
from bridge.wiring import utc_now

FILE = Path(__file__).parents[2] / "docs/servicenow-setup.md"
HOST, ADDRESS = "acme.service-now.com", "203.0.113.7"
USER, SECRET = "bridge.integration", "only-for-the-page"
CLIENT_ID = "9c6e2d1754332010"
NEEDED = frozenset({"sn_incident_write", "sn_si.basic", "snc_basic_auth_api_access", "snc_platform_rest_api_access"})
OPTIONAL = frozenset({"personalize_dictionary", "personalize_choices"})
IMPORT = frozenset({"import_set_loader", "import_transformer"})
ELASTIC = "x_elas2_inc_int"
UNIQUE, OWN = "u_bridge_key", "u_bridge_incident"
CERTIFICATES = {"rsa": "servicenow.crt", "ec": "servicenow-2027.crt"}


class World:
    """The instance, and the secrets beside bridge.yaml: what an administrator changes, a scene at a time."""

    def __init__(self, server: SimulatorServer, certificate: Path) -> None:
        self.simulator = server.simulator
        self.certificate = certificate  # of the instance
        self.simulator.person_creates("incident", short_description="An incident that was there before")
        self.simulator.person_creates("sn_si_incident", short_description="So was this")
        self.simulator.missing = frozenset({ELASTIC})

    def user(self, *roles: str) -> None:
        self.simulator.add_user(User(name=USER, password=SECRET, roles=frozenset(roles)))

    def client(self, *grants: str, **more: Any) -> None:
        """The OAuth application; `grants` are what it may be asked with."""
        given = OAuthClient(secret=SECRET, grants=frozenset(grants), **more)
        self.simulator.access.clients[CLIENT_ID] = given

    def own_staging(self, *maps: TransformMap) -> None:
        self.simulator.add_staging(StagingTable(name=OWN, maps=maps, columns=OWN_COLUMNS))


def _secret(name: str, value: str = SECRET) -> None:
    file = Path("var") / name
    file.touch(mode=0o600)
    file.write_text(f"{value}\n")


def _public(name: str) -> str:
    """Of the certificate that the page's commands made, as it is pasted into ServiceNow."""
    key = load_pem_x509_certificate(Path(CERTIFICATES[name]).read_bytes()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


OWN_COLUMNS = ("u_correlation_id", "u_correlation_display", "u_short_description")
OWN_MAP = TransformMap(name="Bridge incident", target="incident", prefix="u_")


def _no_user(world: World) -> None:
    del world


def _roles(world: World) -> None:
    world.user(*NEEDED)
    world.simulator.missing = frozenset({ELASTIC})


def _no_sir(world: World) -> None:
    world.simulator.missing |= {"sn_si", "sn_ti"}


def _private_authority(world: World) -> None:
    """The authority is not among the public ones; its file is at hand."""
    adapters.DEFAULT_CA_BUNDLE_PATH = certifi.where()  # the page's patch of it ends with the page
    pem = world.certificate.read_bytes()
    Path("corporate-ca.pem").write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])


def _key_not_made(world: World) -> None:
    del world
    _secret("servicenow.key")


def _key_expired(world: World) -> None:
    key = ApiKey(user=USER, name="Bridge", expires="2020-10-01 00:00:00")
    world.simulator.access.api_keys[SECRET] = key
    world.simulator.add_user(User(name="ada", password=SECRET, roles=frozenset({"admin"})))


def _client_not_made(world: World) -> None:
    del world
    _secret("servicenow.client")


def _password_of_the_user(world: World) -> None:
    world.client(CLIENT)
    _secret("servicenow.password")


def _sees_roles(world: World) -> None:
    world.simulator.needs["sys_user_has_role"] = Needs(read=frozenset({"sn_incident_write"}))


def _unique_column(world: World) -> None:
    world.user(*NEEDED, *OPTIONAL)
    world.simulator.add_columns("incident", (UNIQUE,))
    world.simulator.rows.unique["incident"] = (UNIQUE,)


# What was done in the instance before a command, by the word that follows `console`.
SCENES: dict[str, Callable[[World], None]] = {
    "no-user": _no_user,
    "no-roles": lambda world: world.user(),
    "roles": _roles,
    "no-sir": _no_sir,
    "reads-only": lambda world: world.user(*NEEDED - {"sn_incident_write"}, "sn_incident_read"),
    "more-roles": lambda world: world.user(*NEEDED, *OPTIONAL),
    "sees-roles": _sees_roles,
    # ways in
    "key-not-made": _key_not_made,
    "key-expired": _key_expired,
    "key": lambda world: world.simulator.access.api_keys.update({SECRET: ApiKey(user=USER)}),
    "client-not-made": _client_not_made,
    "client": lambda world: world.client(CLIENT, user=USER),
    "client-password-off": _password_of_the_user,
    "client-password": lambda world: world.client(PASSWORD),
    "rsa-key": lambda world: None,
    "jwt-no-map": lambda world: world.client(JWT),
    "jwt-rsa": lambda world: world.client(JWT, keys={"bridge-2026": _public("rsa")}, subject="user_name"),
    "ec-key": lambda world: None,
    "jwt-ec-no-map": lambda world: None,
    "jwt-ec": lambda world: world.client(
        JWT, keys={"bridge-2026": _public("rsa"), "bridge-2027": _public("ec")}, subject="user_name"
    ),
    # ways of writing
    "no-index": lambda world: world.user(*NEEDED, *OPTIONAL),
    "no-column": lambda world: world.user(*NEEDED),
    "index": _unique_column,
    "no-staging": lambda world: world.user(*NEEDED, *OPTIONAL, *IMPORT),
    "staging": lambda world: world.own_staging(),
    "map": lambda world: world.own_staging(OWN_MAP),
    "coalesce": lambda world: world.own_staging(replace(OWN_MAP, coalesce=(("correlation_id",),))),
    "no-app": lambda world: world.user(*NEEDED, *OPTIONAL, *IMPORT, f"{ELASTIC}.integration_user"),
    "app": lambda world: setattr(world.simulator, "missing", frozenset()),
    "no-import-roles": lambda world: world.user(*NEEDED, *OPTIONAL),
    # the network
    "private-authority": _private_authority,
    "authority-named": lambda world: None,
    "import-roles": lambda world: world.user(*NEEDED, *OPTIONAL, *IMPORT),
}


class Player:
    """Plays the blocks of the page in the working folder."""

    def __init__(self, world: World) -> None:
        self._world = world

    def play(self, block: Block) -> list[tuple[str, list[str], list[str]]]:
        """Each command that was run, the lines that the page shows, and those that were printed."""
        if block.kind == "console" and block.info:
            SCENES[block.info](self._world)
            return [(command, shown, self._run(command)) for command, shown in commands(block.text)]
        if block.kind == "yaml" and not block.info:
            file = Path("bridge.yaml")
            file.write_text(with_sections(file.read_text("utf-8"), block.text), "utf-8")
        return []

    def _run(self, command: str) -> list[str]:
        if command.startswith(("openssl ", "(umask ", "chmod ")):
            subprocess.run(["bash", "-euc", command], check=True, capture_output=True)
            return []
        words = shlex.split(command)
        assert words[0] == "bridge", command
        answers = ["basic", USER] if words[1] == "init" else ["acme"]
        output = io.StringIO()

        def visible(prompt: str) -> str:
            """What a person types is seen, but for the password."""
            print(f"{prompt}{answers[0]}")
            return answers.pop(0)

        def hidden(prompt: str) -> str:
            print(prompt)
            return SECRET

        with (
            patch("click.termui.visible_prompt_func", visible),
            patch("click.termui.hidden_prompt_func", hidden),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            main(words[1:])
        return alike(output.getvalue()).splitlines()


def alike(text: str) -> str:
    text = re.sub(r" +\d+\.\d\d s", lambda time: "0.02 s".rjust(len(time[0])), text)
    text = text.replace("self signed", "self-signed")  # as OpenSSL 1.1 has it
    text = re.sub(r"(incident-bridge-doctor:)\d+T\d+\.\d+Z", r"\g<1>20260310T120000.000000Z", text)
    text = re.sub(r"differ by \d+ s", "differ by 0 s", text)
    text = re.sub(
        r"TLSv1\.\d; the certificate is by .*",
        "TLSv1.3; the certificate is by DigiCert TLS RSA SHA256 2020 CA1, until Mar  1 23:59:59 2027 GMT.",
        text,
    )
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


@contextlib.contextmanager
def world(folder: Path) -> Iterator[Player]:
    """A player in `folder`, and a simulator at HOST, port 443, with a certificate that is trusted."""
    tls, home = folder / "tls", folder / "home"
    tls.mkdir()
    home.mkdir()
    certificate = certificate_in(tls, name=HOST)
    environment = {name: value for name, value in os.environ.items() if name != "BRIDGE_CONFIG"}
    with (
        SimulatorServer(clock=utc_now, tls=server_with(certificate)) as server,
        contextlib.chdir(home),
        patch.dict(os.environ, environment, clear=True),
        patch("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate)),
        patch.object(socket, "getaddrinfo", _names(socket.getaddrinfo, server.port)),
    ):
        yield Player(World(server, certificate))


def _names(real: Callable[..., Any], port: int) -> Callable[..., Any]:
    def resolve(host: str, service: int | str | None, *more: Any, **named: Any) -> Any:
        if host != HOST:
            return real(host, service, *more, **named)
        place = (ADDRESS, 0) if service is None else ("127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    return resolve


STEP_CHARS = 44  # of a line of the doctor, to the end of the step's name
ROLES = "| `table` | `write` | roles: one of each, the first is the least |"


def _target(table: str, write: Write, staging: Staging | None = None) -> Target:
    return Target(name="t", instance="acme", table=table, write=write, staging=staging)


ROWS: Sequence[tuple[str, Target]] = [
    ("`table`, `unique`", _target("incident", Write.TABLE)),
    ("`import_set`, a staging table of your own", _target("incident", Write.IMPORT_SET, Staging(table=OWN))),
    ("`import_set`, `preset: elastic`", _target("incident", Write.IMPORT_SET, STAGING["elastic"]["incident"])),
    ("`table`, `unique`", _target("sn_si_incident", Write.TABLE)),
    (
        "`import_set`, a staging table of your own, or `preset: sir_import`",
        _target("sn_si_incident", Write.IMPORT_SET, STAGING["sir_import"]["sn_si_incident"]),
    ),
    (
        "`import_set`, `preset: elastic`",
        _target("sn_si_incident", Write.IMPORT_SET, STAGING["elastic"]["sn_si_incident"]),
    ),
]


def table() -> str:
    """The table of roles, as the doctor goes by it."""
    rows = [
        f"| `{target.table}` | {way} | "
        + "; ".join(" or ".join(f"`{role}`" for role in need.any_of) for need in needs_of(target))
        + " |"
        for way, target in ROWS
    ]
    return "\n".join([ROLES, "|---|---|---|", *rows])


def renewed(shown: list[str], printed: list[str]) -> list[str]:
    """The lines that are shown, as they are printed today; all of them where one that is shown is gone."""
    lines: list[str] = []
    at = 0
    for line in shown:
        if line == LEFT_OUT:
            lines.append(line)
            continue
        found = next((place for place in range(at, len(printed)) if _begins(printed[place]) == _begins(line)), None)
        if found is None:
            return printed
        lines.append(printed[found])
        at = found + 1
    return lines if agrees(lines, printed) else printed


def _begins(line: str) -> str:
    """What a line is known by: of a step its outcome and name."""
    return re.sub(r"\d+", "0", line)[:STEP_CHARS]


def rewritten(page: str) -> str:
    """The page as it would be true today. What `…` left out stays so, unless a line that is shown is gone."""
    lines = page.splitlines()
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as player:
        played = [(block, player.play(block)) for block in blocks(page)]
    for block, results in reversed(played):
        if all(agrees(shown, printed) for _, shown, printed in results):
            continue
        new = [line for command, shown, printed in results for line in (f"$ {command}", *renewed(shown, printed))]
        lines[block.line : block.line + block.text.count("\n")] = new
        print(f"{block.title}: other output")
    page = "\n".join(lines) + "\n"
    return page.replace(table_of_page(page, ROLES), table())


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text("utf-8")), "utf-8")

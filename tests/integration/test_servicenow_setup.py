"""docs/servicenow-setup.md: what it shows of a terminal is what a terminal shows.

A block that begins with ```console SCENE is played: its command runs against an instance that SCENE has set up.
"""

from __future__ import annotations

import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_world import certificate_in, server_with

from bridge.cli import main
from bridge.simulator.access import User
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now

PAGE = Path(__file__).parents[2] / "docs" / "servicenow-setup.md"
BLOCKS = re.findall(r"^```console (\S+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
HOST, ADDRESS = "acme.service-now.com", "203.0.113.7"
USER, PASSWORD = "bridge.integration", "right"
NEEDED = frozenset({"sn_incident_write", "sn_si.basic", "snc_basic_auth_api_access", "snc_platform_rest_api_access"})
OPTIONAL = frozenset({"personalize_dictionary", "personalize_choices"})

# scene -> the roles of the integration user; None: the instance does not know it yet
SCENES: dict[str, frozenset[str] | None] = {
    "no-user": None,
    "no-roles": frozenset(),
    "roles": NEEDED,
    "more-roles": NEEDED | OPTIONAL,
}


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorServer]:
    """A simulator at HOST, port 443, with a certificate that is trusted."""
    certificate = certificate_in(tmp_path_factory.mktemp("tls"), name=HOST)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with SimulatorServer(clock=utc_now, tls=server_with(certificate)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", _names(socket.getaddrinfo, server.port))
        server.simulator.person_creates("incident", short_description="An incident that was there before")
        server.simulator.person_creates("sn_si_incident", short_description="So was this")
        yield server


def _names(real: Callable[..., Any], port: int) -> Callable[..., Any]:
    def resolve(host: str, service: int | str | None, *more: Any, **named: Any) -> Any:
        if host != HOST:
            return real(host, service, *more, **named)
        place = (ADDRESS, 0) if service is None else ("127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    return resolve


def _set(server: SimulatorServer, scene: str) -> None:
    roles = SCENES[scene]
    if roles is not None:
        server.simulator.add_user(User(name=USER, password=PASSWORD, roles=roles))


def _typed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A person answers the prompts: what is typed is seen, but for the password."""
    answers = ["basic", USER] if "init" in words else ["acme"]

    def visible(prompt: str) -> str:
        print(f"{prompt}{answers[0]}")
        return answers.pop(0)

    def hidden(prompt: str) -> str:
        print(prompt)
        return PASSWORD

    monkeypatch.setattr("click.termui.visible_prompt_func", visible)
    monkeypatch.setattr("click.termui.hidden_prompt_func", hidden)


def _comparable(text: str) -> str:
    text = re.sub(r" +\d+\.\d\d s", " _ s", text)
    text = re.sub(r"differ by \d+ s", "differ by _ s", text)
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    return re.sub(r"(TLSv1\.\d; the certificate is by ).*", r"\1_", text).rstrip()


def test_the_page_shows_something() -> None:
    assert {scene for scene, _ in BLOCKS} == set(SCENES)


@pytest.mark.parametrize(("scene", "shown"), BLOCKS)
def test_the_page_shows_what_a_terminal_shows(
    scene: str,
    shown: str,
    instance: SimulatorServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    command, _, output = shown.partition("\n")
    words = shlex.split(command.removeprefix("$ "))
    assert words[0] == "bridge"
    if words[1] != "init":
        _set(instance, "roles")
        _typed(["init"], monkeypatch)
        assert main(["init", "--servicenow", f"https://{HOST}"]) == 0
        instance.simulator.access.users.pop(USER)
        capsys.readouterr()
    _set(instance, scene)
    _typed(words, monkeypatch)
    main(words[1:])
    assert _comparable(capsys.readouterr().out) == _comparable(output)

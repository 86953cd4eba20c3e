"""Which hosts of instances are refused: those that certainly do not exist, and no others."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.errors import Problem
from bridge.servicenow.names import WITNESS, Resolve, look_up
from bridge.settings import Settings, Transport, load_settings

YAML = """\
instances:
  prod:
    url: {url}
    auth: {{scheme: api_key, key: {{env: K}}}}
"""
NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_ADDRESS = socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
NOT_NOW = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
ACME = "acme.service-now.com"


def settings_at(folder: Path, url: str = f"https://{ACME}") -> Settings:
    file = folder / "bridge.yaml"
    file.write_text(YAML.format(url=url))
    return load_settings(file)


def resolver(answers: dict[str, Exception | None], rest: Exception | None = None) -> Resolve:
    def resolve(host: str) -> None:
        if (error := answers.get(host, rest)) is not None:
            raise error

    return resolve


def found(folder: Path, resolve: Resolve, url: str = f"https://{ACME}") -> tuple[int, int]:
    """How many problems, how many warnings."""
    problems, warnings = look_up(settings_at(folder, url), resolve)
    return len(problems), len(warnings)


@pytest.mark.parametrize(
    ("rule", "answers", "rest", "expected"),
    [
        ("a host that is there", {}, None, (0, 0)),
        ("no such name, by a resolver that knows others", {ACME: NO_SUCH_NAME}, None, (1, 0)),
        ("a name without an address is one too", {ACME: NO_ADDRESS}, None, (1, 0)),
        ("a resolver that knows no name at all tells nothing", {}, NO_SUCH_NAME, (0, 1)),
        (
            "one that knows this and not that outside tells nothing",
            {ACME: NO_SUCH_NAME, WITNESS: NOT_NOW},
            None,
            (0, 1),
        ),
        ("a failure that passes", {ACME: NOT_NOW}, None, (0, 1)),
        ("the machine has no network", {}, OSError("unreachable"), (0, 1)),
    ],
)
def test_only_what_is_certain_is_a_problem(
    tmp_path: Path, rule: str, answers: dict[str, Exception | None], rest: Exception | None, expected: tuple[int, int]
) -> None:
    assert found(tmp_path, resolver(answers, rest)) == expected


def test_a_name_that_can_never_exist_needs_no_witness(tmp_path: Path) -> None:
    assert found(tmp_path, resolver({}, NO_SUCH_NAME), "https://acme.invalid") == (1, 0)


def test_another_instance_that_is_there_is_a_witness(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    other = replace(settings.instances["prod"], name="dev", url="https://dev.service-now.com")
    both = replace(settings, instances=settings.instances | {"dev": other})
    problems, _ = look_up(both, resolver({"dev.service-now.com": None}, NO_SUCH_NAME))
    assert [problem.message for problem in problems] == [f"there is no host {ACME}: DNS does not know it"]


def test_a_host_that_does_not_exist_is_told_where_it_stands(tmp_path: Path) -> None:
    ((problem,), _) = look_up(settings_at(tmp_path), resolver({ACME: NO_SUCH_NAME}))
    assert (problem.line, problem.column, "transport.proxy" in problem.hint) == (3, 10, True)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443", "http://localhost:8000", "https://[::1]:8443"])
def test_an_address_is_not_looked_up(tmp_path: Path, url: str) -> None:
    assert found(tmp_path, resolver({}, NO_SUCH_NAME), url) == (0, 0)


def test_what_a_proxy_resolves_is_not_looked_up(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, "https://acme.invalid")
    behind = replace(settings.instances["prod"], transport=Transport(proxy="http://proxy.corp.example:3128"))
    assert look_up(replace(settings, instances={"prod": behind}), resolver({}, NO_SUCH_NAME)) == ([], [])


def test_a_resolver_that_does_not_answer_in_time_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr("bridge.servicenow.names.RESOLVE_SECONDS_MAX", 0.0)
    over = threading.Event()
    assert found(tmp_path, lambda _host: over.wait()) == (0, 1)
    over.set()


def _resolving(monkeypatch: pytest.MonkeyPatch, resolve: Resolve) -> None:
    monkeypatch.setattr("bridge.wiring.resolve", resolve)
    monkeypatch.setenv("K", "k-1")


def test_the_check_refuses_a_host_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _resolving(monkeypatch, resolver({ACME: NO_SUCH_NAME}))
    settings_at(tmp_path)
    (tmp_path / "mappings").mkdir()
    assert main(["check", "--config", str(tmp_path / "bridge.yaml")]) == 2
    assert f"bridge.yaml:3:10: there is no host {ACME}" in capsys.readouterr().out


def test_the_check_warns_of_a_host_that_cannot_be_resolved_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _resolving(monkeypatch, resolver({}, NOT_NOW))
    settings_at(tmp_path)
    (tmp_path / "mappings").mkdir()
    assert main(["check", "--config", str(tmp_path / "bridge.yaml")]) == 0
    assert f"warning: instances.prod.url: {ACME} cannot be resolved now" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_start_refuses_a_host_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    _resolving(monkeypatch, resolver({ACME: NO_SUCH_NAME}))
    settings_at(tmp_path)
    file = tmp_path / "bridge.yaml"
    file.write_text("database: postgresql://nobody@127.0.0.1:1/none\n" + file.read_text())
    assert main([command, "--config", str(file)]) == 2
    assert f"bridge.yaml:4:10: there is no host {ACME}" in capsys.readouterr().err


def test_who_only_receives_calls_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.errors import BridgeError
    from bridge.wiring import Role, prepare

    _resolving(monkeypatch, resolver({ACME: NO_SUCH_NAME}))
    settings = replace(settings_at(tmp_path), database="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(BridgeError) as caught:  # of the database, which comes after
        prepare(settings, Role.INTAKE)
    told = getattr(caught.value, "problems", [Problem("", 0, 0, caught.value.message)])
    assert not [problem for problem in told if "no host" in problem.message]

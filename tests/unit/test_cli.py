"""The command line as a whole: the tree, and how errors come out of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import bridge.cli
from bridge.cli import COMMANDS, main
from bridge.errors import Misconfigured, Permanent, Problem, Transient

NOT_FOR_HELP = ("sqlalchemy", "rich", "ruamel", "cryptography", "flask", "requests", "msgspec", "structlog", "alembic")


def install(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A command `boom` that raises."""

    @click.command()
    def boom() -> None:
        raise error

    monkeypatch.setattr(bridge.cli, "boom_for_tests", boom, raising=False)
    monkeypatch.setitem(COMMANDS, "boom", ("bridge.cli:boom_for_tests", "Fails."))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name}" not in shown] == []


def test_help_imports_nothing_heavy() -> None:
    program = "import sys, bridge.cli; bridge.cli.main(['--help']); sys.stderr.write(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(NOT_FOR_HELP) & set(ran.stderr.split()) == set()


WRITTEN_HERE = [
    "init",
    "check",
    "doctor",
    "mapping",
    "simulator",
    "targets",
    "alerts",
    "quarantine",
    "incidents",
    "log",
    "db",
]


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [(path, command), *(pair for name, child in below for pair in _commands(child, f"{path} {name}"))]


@pytest.mark.parametrize("name", WRITTEN_HERE)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = bridge.cli.tree.get_command(click.Context(bridge.cli.tree), name)
    assert command is not None
    for path, _ in _commands(command, name):
        assert main([*path.split(), "--help"]) == 0
        assert f"Example:\n    bridge {path.split()[0]}" in capsys.readouterr().out


def test_wrong_usage_is_one_line_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targts"]) == 2
    assert (
        capsys.readouterr().err == "bridge: No such command 'targts'. Did you mean 'targets'? (see `bridge --help`)\n"
    )


def test_no_command_shows_the_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_every_problem_of_a_configuration_is_a_line_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Misconfigured([Problem("b.yaml", 9, 1, "two"), Problem("b.yaml", 3, 5, "one", "do so")]))
    assert main(["boom"]) == 2
    assert capsys.readouterr().err.splitlines() == ["b.yaml:3:5: one (do so)", "b.yaml:9:1: two"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Permanent("no_such_alert", "there is no alert 1-0"), "there is no alert 1-0"),
        (
            Transient("store_unavailable", "the database does not answer:\nlocked"),
            "the database does not answer: locked",
        ),
    ],
)
def test_another_error_is_its_sentence_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    install(monkeypatch, error)
    assert main(["boom"]) == 1
    assert capsys.readouterr().err == f"{line}\n"


def test_what_nobody_expected_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BRIDGE_DEBUG", raising=False)
    install(monkeypatch, ZeroDivisionError("by zero"))
    assert main(["boom"]) == 1
    expected = "internal error: ZeroDivisionError: by zero; please report it (BRIDGE_DEBUG=1 says where)\n"
    assert capsys.readouterr().err == expected


def test_bridge_debug_adds_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BRIDGE_DEBUG", "1")
    install(monkeypatch, ZeroDivisionError("by zero"))
    assert main(["boom"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, KeyboardInterrupt())
    assert main(["boom"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys, bridge.cli; sys.exit(bridge.cli.main(['--help']))"
    try:
        ran = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_configuration_may_be_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BRIDGE_CONFIG", str(tmp_path / "other.yaml"))
    assert main(["alerts", "list"]) == 2
    assert f"{tmp_path}/other.yaml: there is no such file" in capsys.readouterr().err


def test_the_configuration_is_bridge_yaml_of_this_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("BRIDGE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["alerts", "list"]) == 2
    assert capsys.readouterr().err.startswith("bridge.yaml: there is no such file (")

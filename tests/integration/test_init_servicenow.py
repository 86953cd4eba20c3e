"""`bridge init --servicenow`: what is asked, tried and written."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.settings import Mode, check_secrets, load_settings
from bridge.simulator.access import ApiKey
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.wiring import utc_now


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        yield server


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person types, in order; each hidden prompt is noted as such."""
    answers = ["basic", "bridge", "bridge"]

    def prompt(_question: str, *, hide_input: bool = False, **_more: object) -> str:
        assert hide_input == (len(answers) == 1)
        return answers.pop(0)

    monkeypatch.setattr("click.prompt", prompt)
    return answers


def init(folder: Path, url: str) -> int:
    return main(["init", "--servicenow", url, str(folder)])


@pytest.fixture
def made(tmp_path: Path, servicenow: SimulatorServer, typed: list[str]) -> Path:
    assert init(tmp_path / "new", servicenow.url) == 0
    return tmp_path / "new"


def test_what_it_writes_is_a_working_configuration(made: Path) -> None:
    settings = load_settings(made / "bridge.yaml")
    assert check_secrets(settings) == []
    assert {target.table for target in settings.targets.values()} == {"incident", "sn_si_incident"}


def test_every_target_only_observes(made: Path) -> None:
    settings = load_settings(made / "bridge.yaml")
    assert {target.mode for target in settings.targets.values()} == {Mode.OBSERVE}


def test_the_secret_is_for_its_owner_alone(made: Path) -> None:
    file = made / "var" / "servicenow.password"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("bridge\n", 0o600)


def test_the_secret_stands_in_no_other_file_and_on_no_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str]
) -> None:
    with SimulatorServer(clock=utc_now, password="canary-init") as servicenow:
        typed[2] = "canary-init"
        assert init(tmp_path / "new", servicenow.url) == 0
    holders = [path.name for path in tmp_path.rglob("*") if path.is_file() and b"canary-init" in path.read_bytes()]
    assert holders == ["servicenow.password"]
    assert "canary-init" not in "".join(capsys.readouterr())


def test_the_sample_mapping_and_the_check_pass(made: Path) -> None:
    assert main(["check", "--config", str(made / "bridge.yaml")]) == 0
    assert main(["mapping", "test", "--config", str(made / "bridge.yaml")]) == 0


def test_it_writes_nothing_to_the_instance(made: Path, servicenow: SimulatorServer) -> None:
    assert {method for method, _path, _status in servicenow.simulator.calls} == {"GET"}


def test_without_the_plugin_there_is_no_target_for_security_incidents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str]
) -> None:
    with SimulatorServer(clock=utc_now, security_incidents=False) as servicenow:
        assert init(tmp_path / "new", servicenow.url) == 0
    assert list(load_settings(tmp_path / "new" / "bridge.yaml").targets) == ["itsm"]
    assert "No target sir is written" in capsys.readouterr().out


def test_where_only_security_incidents_answer_the_sample_goes_there(
    tmp_path: Path, servicenow: SimulatorServer, typed: list[str]
) -> None:
    servicenow.simulator.faults.add(Fault(kind=FaultKind.ACL, path="/table/incident", times=None))
    assert init(tmp_path / "new", servicenow.url) == 0
    config = str(tmp_path / "new" / "bridge.yaml")
    assert main(["check", "--config", config]) == main(["mapping", "test", "--config", config]) == 0


def test_with_wrong_credentials_nothing_is_written(
    tmp_path: Path, servicenow: SimulatorServer, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    typed[2] = "guess"
    assert init(tmp_path / "new", servicenow.url) == 1
    assert not (tmp_path / "new").exists()
    assert "Nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://acme.service-now.com", "--servicenow must be https"),
        ("https://acme.service-now.com/nav_to.do", "--servicenow must end after the host"),
        ("https://acme.service-now.com/api/", "(write https://acme.service-now.com)"),
        ("acme", "--servicenow is not the URL of an instance (write https://acme.service-now.com)"),
        ("https://me:secret@acme.service-now.com", "--servicenow holds credentials"),
        ("", "--servicenow wants the URL of the instance"),
    ],
)
def test_a_url_that_cannot_be_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, said: str
) -> None:
    assert init(tmp_path / "new", url) == 2
    assert said in capsys.readouterr().err


def test_an_api_key_is_tried_and_kept_like_a_password(
    tmp_path: Path, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    servicenow.simulator.access.api_keys["k-1"] = ApiKey(user="bridge")
    answers = ["api_key", "k-1"]
    monkeypatch.setattr("click.prompt", lambda *_, **__: answers.pop(0))
    assert init(tmp_path / "new", servicenow.url) == 0
    file = tmp_path / "new" / "var" / "servicenow.key"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("k-1\n", 0o600)
    assert check_secrets(load_settings(tmp_path / "new" / "bridge.yaml")) == []


@pytest.mark.parametrize("key", [" KEY-1 ", "kéy", " "])
def test_an_api_key_that_no_header_can_carry_is_told_as_what_was_typed(
    tmp_path: Path,
    servicenow: SimulatorServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
) -> None:
    answers = ["api_key", key]
    monkeypatch.setattr("click.prompt", lambda *_, **__: answers.pop(0))
    assert init(tmp_path / "new", servicenow.url) == 2
    said = capsys.readouterr().err
    assert said.startswith("bridge init: nothing was written: the API key ")
    assert ("auth" in said, servicenow.simulator.calls, (tmp_path / "new").exists()) == (False, [], False)


def test_what_exists_is_not_overwritten_and_nothing_is_asked(tmp_path: Path, servicenow: SimulatorServer) -> None:
    (tmp_path / "bridge.yaml").write_text("mine")
    assert init(tmp_path, servicenow.url) == 2
    assert servicenow.simulator.calls == []

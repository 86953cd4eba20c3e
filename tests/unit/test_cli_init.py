"""`bridge init`: what it writes works as it stands."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from bridge.cli import main
from bridge.settings import check_secrets, load_settings

FILES = [
    "bridge.yaml",
    "mappings/samples/try.json",
    "mappings/try.yaml",
    "var/.gitignore",
    "var/log.key",
    "var/log.pub",
    "var/simulator.password",
]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["init", str(tmp_path / "new")]) == 0
    capsys.readouterr()
    return tmp_path / "new"


def test_it_writes_these_files(folder: Path) -> None:
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == FILES


def test_the_configuration_loads_and_its_secrets_are_there(folder: Path) -> None:
    settings = load_settings(folder / "bridge.yaml")
    assert check_secrets(settings) == []
    assert settings.sources["try"].auth.scheme == "none"


def test_what_is_commented_out_loads_too(folder: Path) -> None:
    file = folder / "bridge.yaml"
    text = file.read_text()
    file.write_text(
        "\n".join(line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in text.split("\n"))
    )
    settings = load_settings(file)
    assert (sorted(settings.instances), sorted(settings.targets)) == (["prod", "simulator"], ["itsm", "sir"])
    assert sorted(settings.sources) == ["elastic", "github", "try"]


def test_the_check_finds_nothing_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(folder / "bridge.yaml")]) == 0
    assert capsys.readouterr().out.endswith("all is well (sources: 1, targets: 2, mappings: 1).\n")


def test_the_tests_of_the_sample_mapping_pass(folder: Path) -> None:
    assert main(["mapping", "test", "--config", str(folder / "bridge.yaml")]) == 0


def test_the_sample_mapping_is_laid_out(folder: Path) -> None:
    assert main(["mapping", "fmt", "--check", "--config", str(folder / "bridge.yaml")]) == 0


def test_the_keys_are_a_pair_and_the_private_one_is_private(folder: Path) -> None:
    private = load_pem_private_key((folder / "var/log.key").read_bytes(), password=None)
    public = load_pem_public_key((folder / "var/log.pub").read_bytes())
    assert isinstance(private, Ed25519PrivateKey)
    assert isinstance(public, Ed25519PublicKey)
    assert private.public_key() == public
    assert stat.S_IMODE((folder / "var/log.key").stat().st_mode) == 0o600


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bridge.yaml").unlink()
    key = (folder / "var/log.key").read_bytes()
    assert main(["init", str(folder)]) == 2
    assert f"nothing was written: {folder}/var/log.key, " in capsys.readouterr().err
    assert (folder / "var/log.key").read_bytes() == key
    assert not (folder / "bridge.yaml").exists()


def test_it_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path / "new")])
    said = capsys.readouterr().out
    assert "bridge serve" in said
    assert "/hooks/try" in said


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written" in capsys.readouterr().err

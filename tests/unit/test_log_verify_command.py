"""`bridge log verify` and deploy/verify_log.py: files in, a verdict and an exit status out, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from log_exports import KEY, OLD_KEY, ORIGIN, Log, entries_of, key_of

from bridge.cli import main
from bridge.log import note, verify

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/verify_log.py"
LOG = Log(entries_of(5))


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an auditor has: an export, the public key, an anchored checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    Path("log.jsonl").write_bytes(LOG.whole())
    Path("log.pub").write_bytes(pem_of(KEY))
    Path("old.pub").write_bytes(pem_of(OLD_KEY))
    Path("anchored.txt").write_text(LOG.checkpoint(3), "utf-8")
    return tmp_path


def bridge(*words: str) -> int:
    return main(["log", "verify", *words])


def script(*words: str) -> int:
    return verify.main(words)


def test_the_script_is_the_module_byte_by_byte() -> None:
    assert SCRIPT.read_bytes() == (ROOT / "bridge/log/verify.py").read_bytes()


def test_the_script_runs_without_the_bridge(desk: Path) -> None:
    alone = desk / "verify_log.py"
    alone.write_bytes(SCRIPT.read_bytes())
    words = [sys.executable, "-I", str(alone), "log.jsonl", "--key", "log.pub", "--from", "anchored.txt"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=desk, env={"LC_ALL": "C"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VERIFIED  log.jsonl\n  The whole log of incident-bridge/acme")


def test_without_cryptography_the_script_says_what_to_install(desk: Path) -> None:
    words = [sys.executable, "-I", "-S", str(SCRIPT), "log.jsonl", "--key", "log.pub"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=desk)
    assert (done.returncode, done.stderr) == (
        2,
        "The package cryptography is needed: python3 -m pip install cryptography\n",
    )


@pytest.mark.parametrize("command", [bridge, script])
def test_what_verifies_is_told_and_ends_with_0(
    desk: Path, capsys: pytest.CaptureFixture[str], command: Callable[..., int]
) -> None:
    assert command("log.jsonl", "--key", "log.pub") == 0
    assert capsys.readouterr().out.startswith("VERIFIED  log.jsonl\n")


@pytest.mark.parametrize("command", [bridge, script])
def test_what_does_not_verify_is_told_and_ends_with_1(
    desk: Path, capsys: pytest.CaptureFixture[str], command: Callable[..., int]
) -> None:
    Path("log.jsonl").write_bytes(LOG.whole().replace(b'"index":2', b'"index":7'))
    assert command("log.jsonl", "--key", "log.pub") == 1
    assert capsys.readouterr().out == "NOT VERIFIED  log.jsonl\n  Line 4, index 2: entries 2 to 6 are not here.\n"


def test_the_verdict_as_json_has_what_was_verified(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bridge("log.jsonl", "--key", "log.pub", "--from", "anchored.txt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told | {"says": [], "root": ""} == {
        "file": "log.jsonl",
        "verified": True,
        "says": [],
        "kind": "whole",
        "origin": ORIGIN,
        "size": 5,
        "root": "",
        "signed_by": [key_of(KEY).id_for(ORIGIN)],
        "not_checked": [],
        "entries": 5,
        "pruned": 0,
        "indices": [0, 4],
        "earliest": "2026-11-24T21:00:00.000000Z",
        "latest": "2026-11-24T21:00:04.000000Z",
        "from": 3,
    }


def test_the_verdict_as_json_has_the_place_that_is_wrong(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("log.jsonl").write_bytes(LOG.whole()[:-1])
    assert bridge("log.jsonl", "--key", "log.pub", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["line"], told["says"]) == (
        False,
        7,
        ["Line 7, index 5: it ends in the middle: the file was cut off."],
    )


@pytest.mark.parametrize("empty", [b"", b"\n", b"\0"])
def test_a_file_with_nothing_in_it_ends_with_1(desk: Path, empty: bytes) -> None:
    Path("log.jsonl").write_bytes(empty)
    assert bridge("log.jsonl", "--key", "log.pub") == 1


def test_one_of_several_keys_is_enough(desk: Path) -> None:
    assert bridge("log.jsonl", "--key", "old.pub", "--key", "log.pub") == 0


def test_a_key_may_be_given_as_a_vkey_line(desk: Path) -> None:
    Path("log.vkey").write_text(note.vkey(ORIGIN, KEY.public_key()) + "\n")
    Path("other.vkey").write_text(note.vkey("incident-bridge/other", KEY.public_key()))
    assert (bridge("log.jsonl", "--key", "log.vkey"), bridge("log.jsonl", "--key", "other.vkey")) == (0, 1)


def test_a_checkpoint_that_went_through_a_mail_is_still_one(desk: Path) -> None:
    Path("anchored.txt").write_bytes(b"\r\n" + LOG.checkpoint(3).strip().replace("\n", "\r\n").encode())
    assert bridge("log.jsonl", "--key", "log.pub", "--from", "anchored.txt") == 0


def private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("command", [bridge, script])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.pub", None, "cannot be read"),
        ("none.pub", b"", "neither a public key"),
        ("none.pub", b"\xff", "no text"),
        ("none.pub", b"+++", "neither a public key"),
        ("none.pub", private_pem(KEY), "neither a public key"),
        ("none.pub", note.vkey(ORIGIN, KEY.public_key()).replace("acme", "acne").encode(), "its ID is not that"),
        (
            "none.pub",
            generate_private_key(SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "of another kind",
        ),
    ],
)
def test_a_key_that_cannot_be_used_ends_with_2_and_says_why(
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    command: Callable[..., int],
    name: str,
    content: bytes | None,
    words: str,
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    assert command("log.jsonl", "--key", name) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{name}: ")
    assert words in said


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_an_export_that_cannot_be_read_ends_with_2(desk: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert bridge(name, "--key", "log.pub") == 2
    assert capsys.readouterr().err.startswith(f"{name}: cannot be read: ")


def test_a_pipe_cannot_be_verified_and_ends_with_2(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert bridge(f"/dev/fd/{reading}", "--key", "log.pub") == 2
    os.close(reading)
    assert "cannot be read" in capsys.readouterr().err


def test_what_was_given_as_a_checkpoint_and_is_none_ends_with_2(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bridge("log.jsonl", "--key", "log.pub", "--from", "log.pub") == 2
    assert capsys.readouterr().err.startswith("--from: neither a signed checkpoint")


def test_without_a_key_nothing_is_verified(desk: Path) -> None:
    assert bridge("log.jsonl") == 2


def test_words_out_of_the_file_cannot_steer_a_terminal(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = Log(LOG.entries, origin="incident-bridge/\x9b31m\u202e")
    Path("log.jsonl").write_bytes(evil.whole().replace(b"incident-bridge", b"incident-fridge", 1))
    assert bridge("log.jsonl", "--key", "log.pub") == 1
    Path("log.jsonl").write_bytes(evil.whole())
    assert bridge("log.jsonl", "--key", "log.pub") == 0
    assert all(character == "\n" or " " <= character <= "~" for character in capsys.readouterr().out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_verdict_has_a_colour_and_a_long_file_its_progress(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(verify, "PROGRESS_BYTES_MIN", 1)
    assert verify.main(["log.jsonl", "--key", "log.pub"]) == 0
    assert out.getvalue().startswith("\x1b[1;32mVERIFIED\x1b[0m  log.jsonl\n")
    assert " % verified" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")


def test_colours_stop_where_they_are_not_wanted(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("NO_COLOR", "1")
    assert verify.main(["log.jsonl", "--key", "log.pub"]) == 0
    assert out.getvalue().startswith("VERIFIED  log.jsonl\n")


def test_a_line_without_an_end_is_not_read_into_memory(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("log.jsonl").open("wb") as file:
        file.write(LOG.header("whole", {}))
        file.truncate(1 << 30)
    tracemalloc.start()
    status = bridge("log.jsonl", "--key", "log.pub")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (status, peak < 4 * verify.LINE_BYTES_MAX) == (1, True)
    assert "Line 2, index 0: it is longer than 4194304 bytes" in capsys.readouterr().out


def test_memory_does_not_grow_with_the_file(desk: Path) -> None:
    def peak_of(entries: int) -> int:
        Path("log.jsonl").write_bytes(Log(entries_of(entries)).whole())
        tracemalloc.start()
        assert verify.main(["log.jsonl", "--key", "log.pub"]) == 0
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_of(5_000) < 1.5 * peak_of(50)

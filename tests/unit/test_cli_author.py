"""Who publishes, and how that is known. What git says is given here."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from bridge.cli import author, person
from bridge.cli.author import author_of
from bridge.store.revisions import Author, KnownBy

FOLDER = Path("mappings")
WHOLE = "Robin Doe <robin@corp.example>"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.cli.person.os_user", lambda: "rdoe")


def git_says(monkeypatch: pytest.MonkeyPatch, status: str | None, log: str | None) -> None:
    answers = {"status": status, "log": log}
    monkeypatch.setattr(author, "_git", lambda _folder, command, *_words: answers[command])


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        (None, Author(name=WHOLE, known_by=KnownBy.GIT_COMMIT)),
        ("robin doe", Author(name=WHOLE, known_by=KnownBy.GIT_COMMIT)),
        ("ROBIN@corp.example", Author(name=WHOLE, known_by=KnownBy.GIT_COMMIT)),
        (WHOLE, Author(name=WHOLE, known_by=KnownBy.GIT_COMMIT)),
        ("rdoe", Author(name="rdoe", known_by=KnownBy.OS_USER)),
        ("Kim", Author(name="Kim", known_by=KnownBy.CLAIM)),
    ],
)
def test_in_a_clean_checkout_the_commit_confirms_its_author_and_no_other(
    monkeypatch: pytest.MonkeyPatch, claimed: str | None, expected: Author
) -> None:
    git_says(monkeypatch, "", "Robin Doe\x00robin@corp.example")
    assert author_of(FOLDER, claimed) == expected


@pytest.mark.parametrize(
    ("status", "log"),
    [
        pytest.param(None, None, id="no checkout, or no git"),
        pytest.param(" M elastic.yaml", "Robin Doe\x00robin@corp.example", id="what is published is not committed"),
        pytest.param("", "", id="nothing here was ever committed"),
        pytest.param("", None, id="git fails"),
    ],
)
@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        (None, Author(name="rdoe", known_by=KnownBy.OS_USER)),
        ("rdoe", Author(name="rdoe", known_by=KnownBy.OS_USER)),
        ("Robin Doe", Author(name="Robin Doe", known_by=KnownBy.CLAIM)),
    ],
)
def test_elsewhere_the_user_is_known_and_all_else_is_a_claim(
    monkeypatch: pytest.MonkeyPatch, status: str | None, log: str | None, claimed: str | None, expected: Author
) -> None:
    git_says(monkeypatch, status, log)
    assert author_of(FOLDER, claimed) == expected


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_user: int) -> None:
        raise KeyError

    monkeypatch.undo()
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert person.os_user() == str(os.getuid())


def test_what_the_environment_says_of_the_user_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert person.os_user() == pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize("script", ["exit 128", "sleep 60"], ids=["git refuses", "git hangs"])
def test_a_git_that_does_not_answer_is_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec /bin/sleep')}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(author, "GIT_SECONDS_MAX", 0.2)
    assert author_of(FOLDER, None) == Author(name="rdoe", known_by=KnownBy.OS_USER)


def test_without_a_git_program_there_is_no_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert author_of(FOLDER, None) == Author(name="rdoe", known_by=KnownBy.OS_USER)

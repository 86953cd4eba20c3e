"""Asking what may hang: one question at a time, and no longer wait than allowed."""

from __future__ import annotations

import threading

import pytest

from bridge.web.patience import Patient


def test_an_answer_that_comes_is_given() -> None:
    assert Patient(lambda: "well", seconds=10)() == "well"


def test_each_question_is_asked_anew() -> None:
    answers = iter(["one", "two"])
    patient = Patient(lambda: next(answers), seconds=10)
    assert (patient(), patient()) == ("one", "two")


def test_what_hangs_is_none_and_asked_once_however_many_wait() -> None:
    asked, go = [], threading.Event()

    def ask() -> str:
        asked.append(1)
        go.wait(10)
        return "at last"

    patient = Patient(ask, seconds=0.01)
    assert [patient() for _ in range(3)] == [None, None, None]
    assert len(asked) == 1
    go.set()


def test_after_it_hung_it_is_asked_again() -> None:
    go, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        go.wait(10)
        return "well"

    patient = Patient(ask, seconds=0.01)
    assert patient() is None
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "patient"]
    go.set()
    thread.join(10)
    patient()
    assert len(asked) == 2


def test_where_no_thread_could_be_had_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    patient = Patient(lambda: "well", seconds=10)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            patient()
    assert patient() == "well"

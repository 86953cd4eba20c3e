"""What one step found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bridge.doctor.cause_rows import Seen


class Certainty(StrEnum):
    PROBABLE = "probable"  # it fits what was seen
    DETECTED = "detected"  # the instance's own records show it
    LEFT = "left"  # compared with nothing, and all else that is known was ruled out: what is not known may be it
    NOT_DETECTED = "not_detected"  # its records do not tell, or may not be read


class Outcome(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    NOT_TESTED = "not_tested"  # not asked for, not possible, or a right that is optional is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Which detector looks for a cause in the instance's records, and what was seen that it may explain."""

    by: str  # a key of detection.DETECTORS
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why it may be so, and what to do about it: both are sentences."""

    what: str
    do: str
    certainty: Certainty = Certainty.PROBABLE
    lead: Lead | None = field(default=None, repr=False, compare=False)  # where the records may tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    outcome: Outcome
    said: str  # one sentence
    causes: tuple[Cause, ...] = ()  # the most probable first; they fit what was seen
    step: str = ""  # filled in by the walk, as `seconds` is
    seconds: float = 0.0
    detects: str = ""  # the command that tells which of the causes it is; "" where none does


def ok(said: str) -> Finding:
    return Finding(outcome=Outcome.OK, said=said)


def wrong(said: str, *causes: Cause) -> Finding:
    return Finding(outcome=Outcome.WRONG, said=said, causes=causes)


def not_tested(said: str, *causes: Cause) -> Finding:
    return Finding(outcome=Outcome.NOT_TESTED, said=said, causes=causes)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")

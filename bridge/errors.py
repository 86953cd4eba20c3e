"""Every error of the bridge, branched by what the caller does next.

    BridgeError
    ├── Rejected         answer the sender 4xx or 503; nothing of the request is kept
    ├── Unmappable       keep the alert, quarantine it, answer 200
    ├── Transient        not applied: try again later
    ├── Ambiguous        may have been applied: look before trying again
    ├── Permanent        a person must look; trying again cannot succeed
    └── Misconfigured    refuse to start (or to take the new configuration); lists every problem with its place

An error is a code for machines (the metric label and the log word) and a sentence for people, in one object.
"""

from __future__ import annotations

from dataclasses import dataclass


class BridgeError(Exception):
    """Base of all: `code` is a stable snake_case word, `str(error)` a sentence that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status: int | None = None  # of the answer that it was made of

    @property
    def answered_with(self) -> int | None:
        """The HTTP status of the answer from which this error, or the one that it was made of, has come; None: none."""
        error: BaseException | None = self
        while error is not None:
            if isinstance(error, BridgeError) and error.http_status is not None:
                return error.http_status
            error = error.__cause__
        return None


class Rejected(BridgeError):
    """The request is refused. `status` is the HTTP answer; `retry_after` seconds go with a 503."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(code, message)
        self.status = status
        self.retry_after = retry_after


class Unmappable(BridgeError):
    """An authenticated alert that cannot be decoded or mapped: it is kept and waits in quarantine."""


class Transient(BridgeError):
    """Nothing was applied; the same call may succeed later. `retry_after` seconds when the other side named them."""

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class Ambiguous(BridgeError):
    """The call may or may not have been applied. Only a look-up can tell.

    `made`: sys_id and number of a record that it has made by its own word, and that could not be read.
    """

    def __init__(self, code: str, message: str, *, made: tuple[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.made = made


class Permanent(BridgeError):
    """The other side refused for a reason that time does not cure; the message names the cause and the remedy.

    `made`: sys_id and number of a record that the call made all the same, and that cannot be used as it is.
    """

    def __init__(self, code: str, message: str, *, made: tuple[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.made = made


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file that a person wrote. Prints as `file:line:col: message (hint)`."""

    file: str
    line: int  # 1-based; 0 when the whole file is meant
    column: int  # 1-based; 0 when the whole line is meant
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class Misconfigured(BridgeError):
    """Configuration or mappings cannot be used. `problems` holds every mistake found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("misconfigured", "\n".join(str(problem) for problem in self.problems))

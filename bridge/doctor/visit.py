"""One visit to an instance: what its steps have at hand, and the walk over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from bridge.dictionary.reading import Reading
from bridge.doctor.causes import Seen, causes_of
from bridge.doctor.detection import detected
from bridge.doctor.finding import Finding, Lead, Outcome, not_tested, wrong
from bridge.doctor.inquiry import Inquiry
from bridge.doctor.records import Records
from bridge.errors import BridgeError, Misconfigured, Transient
from bridge.servicenow import handshake
from bridge.servicenow.auth import Basic
from bridge.servicenow.client import Client
from bridge.servicenow.outcome import Raw, dated
from bridge.servicenow.table import TableApi
from bridge.settings import Instance, Secret, Target

STEP_SECONDS_MAX = 15.0  # a deadline for one call


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer, and when it came by our clock."""

    raw: Raw
    at: datetime


def _silent(_told: str) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Visit:
    instance: Instance
    targets: tuple[Target, ...]  # those of the instance
    clock: Callable[[], datetime]  # the wall clock, aware UTC
    monotonic: Callable[[], float]
    write_probe: bool = False
    say: Callable[[str], None] = field(default=_silent)  # what a step tells before it has a finding
    administrator: Basic | None = None  # who reads why something is refused, in the instance's own records
    detects: str = ""  # the command that makes one of the list of causes, where there is no administrator
    outputs: tuple[str, ...] = ()  # that mappings send beside incidents: mapping.outputs.KINDS, attachment
    finds: tuple[str, ...] = ()  # tables that mappings look records up in
    heard: list[Heard] = field(default_factory=list)  # every answer, oldest first
    timed: list[Heard] = field(default_factory=list)  # those that the administrator got
    reading: Reading = field(default_factory=Reading)  # the schema, as far as it was read
    heard_before: int = 0  # answers of the steps before this one
    taken: bool = False  # the instance has taken the credentials
    user: str = ""  # whom it takes us for, once that is known
    client: Client = field(init=False)
    table: TableApi = field(init=False)
    records: Records | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Raises Misconfigured when a secret of the instance is not there."""
        self.client = Client(self.instance, clock=self.clock, monotonic=self.monotonic, on_answer=self._hear)
        self.table = TableApi(self.client)
        if (administrator := self.administrator) is not None:
            client = Client(
                self.instance,
                clock=self.clock,
                monotonic=self.monotonic,
                on_answer=self._time,
                known_by=lambda: administrator,
            )
            self.records = Records(client, administrator.username, deadline=self.deadline)

    def close(self) -> None:
        self.client.close()
        if self.records is not None:
            self.records.client.close()

    @property
    def host(self) -> str:
        return urlsplit(self.instance.url).hostname or ""

    @property
    def tables(self) -> tuple[str, ...]:
        """That the targets write to; `incident` is there where none is named."""
        return tuple(dict.fromkeys(target.table for target in self.targets)) or ("incident",)

    @property
    def staging_tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.staging.table for target in self.targets if target.staging is not None))

    def deadline(self) -> float:
        return self.monotonic() + STEP_SECONDS_MAX

    def failed(self, error: BridgeError, table: str = "") -> Finding:
        if isinstance(error.__cause__, Transient) and error.__cause__.code == error.code:
            error = error.__cause__  # the client has explained it by a read, as the doctor does by its own
        code, said = error.code, error.message
        if code == "tls_failed":  # through a proxy no step looks at the handshake by itself
            code, reason = handshake.why(error.__cause__)
            said = f"{reason}."
        seen = self.seen(code, said, table)
        told = error.message
        if code == "unauthenticated" and seen.taken and seen.from_servicenow:
            told = f"ServiceNow answered 401 to credentials that it takes elsewhere{_it_said(told)}"
        return wrong(told, *causes_of(seen))

    def seen(self, code: str, message: str = "", table: str = "") -> Seen:
        heard = [heard.raw for heard in self.heard[self.heard_before :]]
        if code == "unauthenticated":  # a read after it may have been answered
            heard = [raw for raw in heard if raw.status == HTTPStatus.UNAUTHORIZED]
        raw = heard[-1] if heard else None
        return Seen(
            code=code,
            host=self.host,
            scheme=self.instance.auth.scheme.value,
            table=table,
            staging=any(target.staging is not None and target.staging.table == table for target in self.targets),
            message=message,
            raw=raw,
            taken=self.taken,
            padded=", ".join(name for name, secret in self.instance.auth.secrets() if _is_padded(secret)),
        )

    def detected(self, finding: Finding) -> Finding:
        """With the cause that it is, by the instance's own records; without them, with the command that asks them."""
        if finding.outcome is not Outcome.WRONG or not any(cause.lead for cause in finding.causes):
            return finding
        if self.records is None:
            return replace(finding, detects=self.detects)
        return detected(finding, partial(self._inquiry, self.records))

    def _inquiry(self, records: Records, lead: Lead) -> Inquiry:
        return Inquiry(
            records=records,
            seen=lead.seen,
            auth=self.instance.auth,
            named=self.named,
            user=self.user or self.named("username"),
            now=self.clock(),
            ahead=self.clock_ahead,
        )

    def named(self, key: str) -> str:
        """What `auth` has at a key that is no secret by itself, a user's name, say; "" where it has nothing."""
        value = getattr(self.instance.auth, key)
        try:
            return value.read().decode() if isinstance(value, Secret) else value or ""
        except (KeyError, OSError, UnicodeDecodeError):
            return ""

    @property
    def clock_ahead(self) -> float | None:
        """Seconds, the smallest that an answer showed: a slow answer looks like a late clock. None: none had a Date."""
        found = (_difference(heard) for heard in (*self.heard, *self.timed))
        return min((seconds for seconds in found if seconds is not None), key=abs, default=None)

    def _hear(self, raw: Raw) -> None:
        self.heard.append(Heard(raw=raw, at=self.clock()))

    def _time(self, raw: Raw) -> None:
        self.timed.append(Heard(raw=raw, at=self.clock()))


def _difference(heard: Heard) -> float | None:
    """Seconds that our clock is ahead of the answer's Date."""
    told = dated(heard.raw)
    return (heard.at - told).total_seconds() if told is not None else None


def _it_said(message: str) -> str:
    _, marked, said = message.partition(". It said: ")
    return f"{marked}{said}" if marked else "."


def _is_padded(secret: Secret) -> bool:
    """A blank or another line that came with the secret when it was copied; a key's file ends as it likes."""
    try:
        value = secret.read()
    except (KeyError, OSError):
        return False
    return value != value.strip() and not value.lstrip().startswith(b"-----BEGIN")


Look = Callable[[Visit, str], Finding]  # the second is one of the step's parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to look at, or one for each of several: tables, say. Its `look` may raise a BridgeError."""

    name: str
    look: Look
    parts: Callable[[Visit], tuple[str, ...]] | None = None
    needed: bool = False  # where it is wrong, nothing after it can be looked at
    recalls: bool = False  # it asks nothing: it looks at the answers so far, whatever they were


def walk(visit: Visit, steps: tuple[Step, ...]) -> Iterator[Finding]:
    """The findings, as they are made. Raises Misconfigured when a secret is gone."""
    closed = ""
    for step in steps:
        for part in step.parts(visit) if step.parts is not None else ("",):
            name = f"{step.name} {part}".rstrip()
            if closed and not step.recalls:
                yield replace(not_tested(f"{closed} is wrong, which comes first."), step=name)
                continue
            begin, visit.heard_before = visit.monotonic(), len(visit.heard)
            if visit.taken:  # what one API refuses keeps the doctor from no other; nobody can be locked out by it
                visit.client.breaker.forget()
            try:
                finding = step.look(visit, part)
            except Misconfigured:
                raise
            except BridgeError as error:
                finding = visit.failed(error, part)
            finding = visit.detected(finding)
            yield replace(finding, step=name, seconds=round(visit.monotonic() - begin, 3))
            if step.needed and finding.outcome is Outcome.WRONG:
                closed = name

"""ServiceNow without sockets: the simulator's own core behind the real client, and every fault between the two.

What is struck by a fault was applied or was not, and the caller learns it or does not: all four pairs are here, and a
fifth, applied later. Whatever a write changes is held against what the bridge may change at that moment.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import requests
from urllib3.exceptions import NewConnectionError

from bridge.servicenow import connection
from bridge.settings import Target
from bridge.simulator import answers
from bridge.simulator.access import OAuthClient
from bridge.simulator.answers import Answer
from bridge.simulator.api import serve
from bridge.simulator.places import place_of
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.transform import Staging, TransformMap
from bridge.sync.reading import ENDED_STATES
from simulation.people import People
from simulation.scheduler import Scheduler

URL = "https://instance.invalid"
USER, PASSWORD = "bridge", "canary-of-the-account"
CLIENT_ID, CLIENT_SECRET = "bridge-client", "canary-of-the-client"
STAGING = "u_bridge_incident"
KEY = "u_bridge_key"  # a column of the administrator's own

HTML = "<html><head><title>Log in</title></head><body><form></form></body></html>"
HIBERNATING = "<html><head><title>Instance Hibernating page</title></head></html>"

# What may strike a call, each with its share.
READ_FAULTS = {
    "refused": 2,  # no connection
    "reset": 2,
    "silent": 2,  # no answer before the deadline
    "server_error": 2,
    "html": 1,
    "hibernating": 1,
    "login": 1,
    "truncated": 1,
    "rate_limited": 2,
    "unauthenticated": 1,
    "hidden": 1,  # by an ACL
}
WRITE_FAULTS = {
    "refused": 2,
    "reset_before": 3,
    "reset_after": 5,
    "silent_before": 2,
    "silent_after": 3,
    "late": 6,  # nothing is heard, and it is applied minutes later
    "dropped": 2,  # 202, never applied
    "cancelled": 2,  # 500, applied
    "server_error": 2,
    "html": 1,
    "login": 1,
    "truncated": 2,  # applied
    "no_result": 1,
    "rate_limited": 2,
    "unauthenticated": 1,
    "against_a_rule": 2,  # a business rule's, or a data policy's
    "slow": 2,  # works, and takes almost until the deadline
}
LATE_SECONDS = (5.0, 300.0)  # within the window
BEYOND_SECONDS = (5.0, 1400.0)  # mostly beyond it


@dataclass(slots=True)
class Reply:
    """As much of a requests.Response as the client reads."""

    status_code: int
    headers: requests.structures.CaseInsensitiveDict[str]
    raw: Any

    def close(self) -> None: ...


@dataclass(slots=True)
class Wire:
    """How bad the way to the instance is now."""

    reads: float = 0.0  # share of calls that a fault strikes
    writes: float = 0.0
    stalls: float = 0.0  # share of creates before which the process stops, after the last look at the deadline
    beyond: float = 0.0  # share of creates that are applied later, mostly after their window
    down: bool = False


@dataclass(slots=True)
class Fake:
    scheduler: Scheduler
    chance: random.Random
    target: Target
    people: People
    tell: Callable[[str], None]
    simulator: Simulator
    wire: Wire = field(default_factory=Wire)
    wrongs: list[str] = field(default_factory=list)  # what the bridge did and must not do
    writes: int = 0
    refusals: dict[str, int] = field(default_factory=dict)  # by correlation ID: writes that can never succeed
    pending_late: int = 0
    stalled: bool = False  # some process stopped in the middle of a send
    came_late: Callable[[], None] = lambda: None  # told of each write that is applied later
    next_writes: list[str] = field(default_factory=list)  # faults that the next writes meet, whatever the chances

    def session(self) -> Session:
        return Session(self)

    # --- one call

    def exchange(self, request: requests.PreparedRequest) -> Reply:
        call = connection._current.get()
        asked = self._asked(request)
        writes = asked.method != "GET" and asked.place.api != "token"
        self._pass(0.001, 0.05)
        fault = self._strikes(writes=writes)
        creates = asked.method == "POST" and asked.table == self.target.table
        if creates and self.wire.beyond and not fault and self.chance.random() < self.wire.beyond:
            fault = "late"
        if self.wire.down or fault == "refused":
            self.tell(f"{asked.method} {_short(asked)}: refused")
            raise requests.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]
        call.about_to_send()
        if creates and self.chance.random() < self.wire.stalls:
            self.tell("the process stops in the middle of a send")
            self.stalled = True
            self.scheduler.wake_parked()
            self._pass(200.0, 900.0)
        task = self.scheduler.current
        began = task.round_began if task is not None else 0.0
        reply = self._met(asked, fault, call, began) if fault else self._served(asked, began)
        reply.headers["Date"] = format_datetime(self.simulator.clock(), usegmt=True)
        self._pass(0.02, 0.6)
        told = fault or str(reply.status_code)
        self.tell(f"{asked.method} {_short(asked)}: {told}")
        return reply

    def _strikes(self, *, writes: bool) -> str:
        if writes and self.next_writes:
            return self.next_writes.pop(0)
        share = self.wire.writes if writes else self.wire.reads
        if self.chance.random() >= share:
            return ""
        faults = WRITE_FAULTS if writes else READ_FAULTS
        return self.chance.choices(list(faults), list(faults.values()))[0]

    def _met(self, asked: ApiRequest, fault: str, call: connection.Call, began: float) -> Reply:
        if fault in ("reset", "reset_before"):
            raise self._lost(asked, fault)
        if fault in ("silent", "silent_before"):
            raise self._silent(asked, fault, call)
        if fault == "late":
            self._apply_late(asked, began)
            raise self._lost(asked, fault)
        if fault in ("reset_after", "silent_after"):
            self._served(asked, began)
            raise self._lost(asked, fault) if fault == "reset_after" else self._silent(asked, fault, call)
        if fault == "slow":
            self._pass(2.0, 0.9 * call.remaining)
            return self._served(asked, began)
        if fault == "cancelled":
            self._served(asked, began)
            return _reply(answers.cancelled().answer())
        if fault == "truncated":
            reply = self._served(asked, began)
            body = reply.raw.read()
            reply.raw = Body(body[: len(body) // 2])
            return reply
        return self._turned_away(asked, fault)

    def _turned_away(self, asked: ApiRequest, fault: str) -> Reply:
        if fault == "dropped":
            return _plain(202, "", "application/json")
        if fault == "server_error":
            return _plain(self.chance.choice((500, 502, 503)), "<html>Bad</html>", "text/html")
        if fault in ("html", "hibernating"):
            return _plain(200, HTML if fault == "html" else HIBERNATING, "text/html;charset=UTF-8")
        if fault == "login":
            return _plain(302, "", "text/html", Location=f"{URL}/login.do")
        if fault == "no_result":
            return _reply(Answer(status=200, body={"result": [] if asked.place.api == "import" else None}))
        if fault == "unauthenticated":
            self.simulator.access.tokens.forget("", refresh=False)
            return _reply(answers.not_authenticated().answer())
        if fault == "rate_limited":
            seconds = self.chance.choice((0, 1, 30, 120))
            return _reply(answers.rate_limited(seconds, int(self.simulator.clock().timestamp()) + seconds).answer())
        if fault == "hidden":
            return _reply((answers.no_record() if asked.sys_id else answers.unreadable_field()).answer())
        self._count_refusal(asked)
        rule = answers.business_rule(asked.table, "Refuse what integrations write")
        return _reply((answers.data_policy(["Business service"]) if self.writes % 2 else rule).answer())

    def _lost(self, asked: ApiRequest, fault: str) -> Exception:
        self.tell(f"{asked.method} {_short(asked)}: {fault}")
        self._pass(0.05, 2.0)
        return requests.ConnectionError("connection reset by peer")

    def _silent(self, asked: ApiRequest, fault: str, call: connection.Call) -> Exception:
        self.tell(f"{asked.method} {_short(asked)}: {fault}")
        self.scheduler.sleep(call.remaining + 0.001)
        call.expired = True  # what the watchdog says
        return requests.ReadTimeout("no answer")

    def _apply_late(self, asked: ApiRequest, began: float) -> None:
        creates = asked.method == "POST" and asked.table == self.target.table
        seconds = self.chance.uniform(*(BEYOND_SECONDS if creates and self.wire.beyond else LATE_SECONDS))
        self.pending_late += 1

        def apply() -> None:
            self.pending_late -= 1
            self.tell(f"{asked.method} {_short(asked)}: applied after {seconds:.0f} s")
            self._served(asked, began)
            self.came_late()

        self.scheduler.after(seconds, apply)

    def _pass(self, least: float, most: float) -> None:
        if self.scheduler.current is not None:
            self.scheduler.sleep(self.chance.uniform(least, max(least, most)))

    # --- what the instance does, and whether it may be asked to

    def _served(self, asked: ApiRequest, began: float) -> Reply:
        if asked.method == "GET" or asked.place.api == "token":
            seen = serve(self.simulator, asked, now=self.simulator.clock())
            self.people.read(seen.body)
            return _reply(seen)
        self.writes += 1
        before = {row["sys_id"]: dict(row) for row in self.simulator.rows.rows(self.target.table)}
        answer = serve(self.simulator, asked, now=self.simulator.clock())
        if 400 <= answer.status < 500 and answer.status not in (401, 429):
            self._count_refusal(asked)
        for row in self.simulator.rows.rows(self.target.table):
            old = before.get(row["sys_id"])
            if old != row:
                self.wrongs += self.people.judge(old, row, began=began, now=self.scheduler.timeline.seconds)
        return _reply(answer)

    def _count_refusal(self, asked: ApiRequest) -> None:
        fields = msgspec.json.decode(asked.body) if asked.body else {}
        row = self.simulator.rows.get(self.target.table, asked.sys_id) if asked.sys_id else None
        named = row["correlation_id"] if row is not None else fields.get("correlation_id", "")
        named = named or fields.get("u_correlation_id", "")
        self.refusals[named] = self.refusals.get(named, 0) + 1

    def _asked(self, request: requests.PreparedRequest) -> ApiRequest:
        url = urlsplit(str(request.url))
        path = unquote(url.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        return ApiRequest(
            method=str(request.method),
            path=path + (f"?{query}" if query else ""),
            place=_token() if path == "/oauth_token.do" else place_of(path, self.simulator.enrichment.path),
            parameters=parameters,
            url=f"{URL}{path}",
            root_url=URL,
            headers={name.lower(): str(value) for name, value in request.headers.items()},
            body=body,
        )


class Session:
    """What the client uses instead of connections."""

    proxy = None

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    def send(self, request: requests.PreparedRequest, *, stream: bool, timeout: tuple[float, float]) -> Reply:
        del stream, timeout
        return self._fake.exchange(request)

    def close(self) -> None: ...


class Body(BytesIO):
    def read(self, size: int | None = -1, decode_content: bool = True) -> bytes:
        return super().read(size)


def instance(simulator: Simulator, target: Target) -> None:
    """The tables, columns and maps that the target's way of writing needs."""
    simulator.add_columns(target.table, (KEY,))
    each = TransformMap(
        name="Bridge", target=target.table, prefix="u_", coalesce=((target.key_field,),), fields={KEY: KEY}
    )
    simulator.add_staging(Staging(name=STAGING, maps=(each,)))
    if target.write.value == "unique":
        simulator.rows.unique[target.table] = (target.key_field,)
    simulator.access.clients[CLIENT_ID] = OAuthClient(secret=CLIENT_SECRET, user=USER)


def is_over(row: Mapping[str, str], table: str) -> bool:
    return row["state"] in ENDED_STATES[table]


def _token() -> Any:
    from bridge.simulator.request import Place

    return Place(api="token")


def _short(asked: ApiRequest) -> str:
    named = asked.place.table or asked.place.api
    query = asked.parameters.get("sysparm_query", "")
    return f"{named}/{asked.sys_id[:6]}" if asked.sys_id else f"{named}{'?' if query else ''}{query.partition('^')[0]}"


def _reply(answer: Answer) -> Reply:
    headers = requests.structures.CaseInsensitiveDict(answer.headers)
    headers["Content-Type"] = answer.content_type
    body = answer.content if answer.content is not None else b""
    if answer.content is None and answer.body is not None:
        body = msgspec.json.encode(answer.body)
    return Reply(status_code=answer.status, headers=headers, raw=Body(body))


def _plain(status: int, text: str, content_type: str, **headers: str) -> Reply:
    given = requests.structures.CaseInsensitiveDict(headers | {"Content-Type": content_type})
    return Reply(status_code=status, headers=given, raw=Body(text.encode()))

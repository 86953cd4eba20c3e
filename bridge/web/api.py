"""/api/v1: what the bridge knows, for programs. Read-only, with an API token; what no role is named for is refused.

Whoever reads the log is an entry of it, committed before anything is answered.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, g, request
from sqlalchemy import Connection

from bridge.errors import Rejected, Transient
from bridge.log.entries import Action, Entry, append
from bridge.store import tokens
from bridge.store.engine import Store
from bridge.store.log_list import log_page
from bridge.store.logbook import indices_of, newest_checkpoint
from bridge.store.queries import find_correlations
from bridge.store.signins import SignIns
from bridge.store.tokens import Token, TokenRole
from bridge.web.openapi import PREFIX, document
from bridge.web.problem import problem

PAGE_DEFAULT, PAGE_MAX = 100, 1_000  # entries
PARAMETER_CHARACTERS_MAX = 1_000
ROW_MAX = 2**63 - 1
AT_ONCE_MAX = 4  # requests: the process's threads are there for deliveries
STATEMENT_MS_MAX = 5_000
CORRELATIONS_MAX = 1_000  # that one incident's number may stand for
UNKNOWN = "This is no token of this bridge: have one made (bridge token create)."
LOG_PARAMETERS = ("limit", "before", "since", "until", "source", "correlation", "action")
CHALLENGE = 'Bearer realm="api", charset="UTF-8"'

# Which roles may ask for what, by the view's name. A view that is not named here answers nobody.
EVERY_ROLE = frozenset(TokenRole)
ALLOWED: dict[str, frozenset[TokenRole]] = {
    "openapi": EVERY_ROLE,
    "log": frozenset({TokenRole.AUDITOR, TokenRole.ADMIN}),
    "checkpoint": frozenset({TokenRole.AUDITOR, TokenRole.ADMIN}),
}


def api(*, store: Store, signins: SignIns, clock: Callable[[], datetime]) -> Blueprint:
    """`clock`: the store's, aware UTC: by it tokens expire."""
    blueprint = Blueprint("api", __name__, url_prefix=PREFIX)
    described = msgspec.json.encode(document())
    turns = threading.BoundedSemaphore(AT_ONCE_MAX)

    @blueprint.before_request
    def sign_in() -> None:
        presented = _presented(signins)
        if not turns.acquire(blocking=False):
            raise Rejected(503, "busy", f"{AT_ONCE_MAX} requests are under way already. Ask again.", retry_after=1)
        g.turn = turns
        g.token = _signed_in(store, signins, presented, clock)

    @blueprint.teardown_request
    def end_turn(_error: BaseException | None) -> None:
        if (turn := g.pop("turn", None)) is not None:
            turn.release()

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        _asked()
        return Response(described, content_type="application/json")

    @blueprint.get("/log")
    def log() -> Response:
        """A page of entries, the newest first."""
        asked = _asked(*LOG_PARAMETERS)
        limit = _number(asked, "limit", PAGE_MAX) or PAGE_DEFAULT
        filters: dict[str, Any] = {
            "before": _number(asked, "before", ROW_MAX),
            "since": _time(asked, "since"),
            "until": _time(asked, "until"),
            "source": asked.get("source"),
            "action": _action(asked),
        }
        if filters["since"] and filters["until"] and filters["since"] >= filters["until"]:
            raise _bad("since is not before until: no entry is of both.")
        with _reading(store) as tx:
            if "correlation" in asked:
                filters["correlation_rows"] = _rows_of(tx, asked["correlation"])
            page = log_page(tx, limit=limit, **filters)
            index_of = indices_of(tx, [row.id for row in page.entries])
        _note_reading(store, signins, {"filter": dict(sorted(asked.items())), "entries": len(page.entries)})
        entries = [
            {"id": row.id, "index": index_of.get(row.id), "entry": msgspec.Raw(row.entry), "said": row.said}
            for row in page.entries
        ]
        more = None if page.before is None else f"{PREFIX}/log?{urlencode({**asked, 'before': page.before})}"
        return _json({"entries": entries, "next": more})

    @blueprint.get("/log/checkpoint")
    def checkpoint() -> Response:
        """The newest signed checkpoint, a C2SP signed note. It tells nothing of what the log has, and is not noted."""
        _asked()
        with _reading(store) as tx:
            head = newest_checkpoint(tx)
        if head is None:
            message = "The log has no checkpoint yet: nothing of it is sealed. /readyz (`log`) says why."
            raise Rejected(404, "no_checkpoint", message)
        return _json({"checkpoint": head.note, "size": head.size, "at": head.at})

    @blueprint.errorhandler(Rejected)
    def refuse(error: Rejected) -> Response:
        response = problem(error)
        if error.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = CHALLENGE
        return response

    @blueprint.errorhandler(Transient)
    def not_now(error: Transient) -> Response:
        message = "The database does not do this now. Ask again; /readyz says why."
        return problem(Rejected(503, error.code, message, retry_after=2))

    return blueprint


@contextlib.contextmanager
def _reading(store: Store) -> Iterator[Connection]:
    """No reader holds a connection for long: deliveries need them too."""
    with store.reading() as tx:
        if not store.is_sqlite:
            tx.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_MS_MAX}")
        yield tx


# --- who asks


def _presented(signins: SignIns) -> str:
    """What may be a token of ours. Raises Rejected for all else, before anything is asked of the store."""
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    presented = presented.strip()
    if scheme.lower() != "bearer" or not presented:
        _refuse(signins, "", "no_token", "Send an API token: `Authorization: Bearer ibt_…` (bridge token create).")
    if not tokens.may_be(presented):
        _refuse(signins, "", "unknown_token", UNKNOWN)
    return presented


def _signed_in(store: Store, signins: SignIns, presented: str, clock: Callable[[], datetime]) -> Token:
    """Raises Rejected. The look-up writes nothing, so whoever guesses costs the store no write."""
    with _reading(store) as tx:
        token = tokens.find(tx, presented)
    if token is None:
        _refuse(signins, "", "unknown_token", UNKNOWN)
    now, address = clock(), request.remote_addr or ""
    _check(signins, token, now)
    if tokens.is_sign_in(token, address, now):
        with store.transaction() as tx:
            token = tokens.hold(tx, token)
            _check(signins, token, now)
            if tokens.is_sign_in(token, address, now):  # another request may have been it
                tokens.note_sign_in(tx, token, address, now)
    return token


def _check(signins: SignIns, token: Token, now: datetime) -> None:
    """Raises Rejected unless it may be used for what is asked."""
    view = (request.endpoint or "").rpartition(".")[2]
    if (state := token.state(now)) != "valid":
        message = f"The token {token.name} is {state}: have another one made (bridge token create)."
        _refuse(signins, token.name, f"{state}_token", message)
    if token.role not in ALLOWED.get(view, frozenset()):
        message = f"The role of the token {token.name}, {token.role}, may not ask for this (bridge token role)."
        _refuse(signins, token.name, "role_not_allowed", message, status=403)


def _refuse(signins: SignIns, name: str, reason: str, message: str, *, status: int = 401) -> NoReturn:
    signins.refused(name, reason, request.remote_addr or "")
    raise Rejected(status, reason, message)


def _note_reading(store: Store, signins: SignIns, detail: dict[str, Any]) -> None:
    """What cannot be noted is not shown, nor to a token that was ended meanwhile. Raises Transient, Rejected."""
    with store.transaction() as tx:
        now = store.now(tx)
        token = tokens.hold(tx, g.token)
        _check(signins, token, now)
        entry = Entry(
            at=now,
            action=Action.LOG_READ,
            actor=tokens.actor_of(token.name),
            known_by=tokens.KNOWN_BY,
            address=request.remote_addr or "",
            detail=detail,
        )
        append(tx, entry)


# --- what is asked for


def _asked(*known: str) -> dict[str, str]:
    """The query, each parameter once. Raises Rejected for one that is not known: it would seem to be heeded."""
    asked = request.args.to_dict(flat=False)
    for name, values in asked.items():
        if name not in known:
            raise _bad(f"There is no parameter {_shown(name)}; known: {', '.join(known) or 'none'}.")
        if len(values) > 1:
            raise _bad(f"{name} is given {len(values)} times.")
        if not values[0] or len(values[0]) > PARAMETER_CHARACTERS_MAX or "\0" in values[0]:
            raise _bad(f"{name} is empty, longer than {PARAMETER_CHARACTERS_MAX} characters, or has a zero byte.")
    return {name: values[0] for name, values in asked.items()}


def _number(asked: dict[str, str], name: str, most: int) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise _bad(f"{name} is a whole number from 1 to {most}, and not {_shown(text)}.")
    return int(text)


def _time(asked: dict[str, str], name: str) -> datetime | None:
    text = asked.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    example = "as in 2026-11-26T08:30:00Z (a + is written %2B)"
    raise _bad(f"{name} is a time with its zone, {example}, and not {_shown(text)}.")


def _action(asked: dict[str, str]) -> Action | None:
    text = asked.get("action")
    if text is None:
        return None
    try:
        return Action(text)
    except ValueError as error:
        raise _bad(f"{_shown(text)} is no action; known: {', '.join(action.value for action in Action)}.") from error


def _rows_of(tx: Connection, words: str) -> list[int]:
    found = [row.row_id for row in find_correlations(tx, words)]
    if len(found) > CORRELATIONS_MAX:
        raise _bad(f"{_shown(words)} stands for {len(found)} correlations: ask by correlation ID.")
    return found


def _bad(message: str) -> Rejected:
    return Rejected(400, "bad_request", message)


def _shown(text: str) -> str:
    return text[:60] if text.isprintable() else ascii(text[:60])


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), content_type="application/json")

"""/api/v1: what the bridge knows, for programs. Read-only, with an API token; what no role is named for is refused.

Whoever reads the log is an entry of it, committed before anything is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, g, request

from bridge.errors import Rejected, Transient
from bridge.log.entries import Action, Entry, append, encode
from bridge.store import tokens
from bridge.store.engine import Store
from bridge.store.log_list import list_log
from bridge.store.logbook import indices_of, newest_checkpoint
from bridge.store.queries import find_correlations
from bridge.store.signins import SignIns
from bridge.store.tokens import Token, TokenRole
from bridge.web.openapi import PREFIX, document
from bridge.web.problem import problem

PAGE_DEFAULT, PAGE_MAX = 100, 1_000  # entries
PARAMETER_CHARACTERS_MAX = 1_000
ROW_MAX = 2**63 - 1
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

    @blueprint.before_request
    def sign_in() -> None:
        g.token = _signed_in(store, signins, clock())

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(described, content_type="application/json")

    @blueprint.get("/log")
    def log() -> Response:
        """A page of entries, the newest first."""
        asked = _asked("limit", "before", "since", "until", "source", "correlation", "action")
        limit = _number(asked, "limit", PAGE_MAX) or PAGE_DEFAULT
        filters: dict[str, Any] = {
            "before": _number(asked, "before", ROW_MAX),
            "since": _time(asked, "since"),
            "until": _time(asked, "until"),
            "source": asked.get("source"),
            "action": _action(asked),
        }
        with store.reading() as tx:
            if "correlation" in asked:
                filters["correlation_rows"] = [row.row_id for row in find_correlations(tx, asked["correlation"])]
            found = list_log(tx, limit=limit + 1, **filters)
            page = found[:limit]
            index_of = indices_of(tx, [row.id for row in page])
        _note_reading(store, {"filter": dict(sorted(asked.items())), "entries": len(page)})
        entries = [
            {"id": row.id, "index": index_of.get(row.id), "entry": msgspec.Raw(encode(row.entry)), "said": row.said}
            for row in page
        ]
        more = {**asked, "before": page[-1].id} if len(found) > limit else None
        return _json({"entries": entries, "next": f"{PREFIX}/log?{urlencode(more)}" if more else None})

    @blueprint.get("/log/checkpoint")
    def checkpoint() -> Response:
        """The newest signed checkpoint: a C2SP signed note."""
        _asked()
        with store.reading() as tx:
            head = newest_checkpoint(tx)
        if head is None:
            raise Rejected(404, "no_checkpoint", "The log has no checkpoint yet: nothing of it is sealed.")
        return _json({"checkpoint": head.note, "size": head.size, "at": head.at})

    @blueprint.errorhandler(Rejected)
    def refuse(error: Rejected) -> Response:
        response = problem(error)
        if error.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = CHALLENGE
        return response

    @blueprint.errorhandler(Transient)
    def not_now(error: Transient) -> Response:
        message = f"{error.message[:1].upper()}{error.message[1:].rstrip('.')}. Ask again."
        return problem(Rejected(503, error.code, message, retry_after=2))

    return blueprint


# --- who asks


def _signed_in(store: Store, signins: SignIns, now: datetime) -> Token:
    """Raises Rejected. The look-up writes nothing, so whoever guesses costs the store no write."""
    view = (request.endpoint or "").rpartition(".")[2]
    address = request.remote_addr or ""
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        _refuse(signins, "", "no_token", "Send an API token: `Authorization: Bearer ibt_…` (bridge token create).")
    with store.reading() as tx:
        token = tokens.find(tx, presented.strip())
    if token is None:
        _refuse(signins, "", "unknown_token", "This is no token of this bridge.")
    if (state := token.state(now)) != "valid":
        _refuse(signins, token.name, f"{state}_token", f"The token {token.name} is {state}: have another one made.")
    if token.role not in ALLOWED.get(view, frozenset()):
        message = f"The role of the token {token.name}, {token.role}, may not ask for this."
        _refuse(signins, token.name, "role_not_allowed", message, status=403)
    if tokens.is_sign_in(token, address, now):
        with store.transaction() as tx:
            tokens.note_sign_in(tx, token, address, now)
    return token


def _refuse(signins: SignIns, name: str, reason: str, message: str, *, status: int = 401) -> NoReturn:
    signins.refused(name, reason, request.remote_addr or "")
    raise Rejected(status, reason, message)


def _note_reading(store: Store, detail: dict[str, Any]) -> None:
    """What cannot be noted is not shown: raises Transient."""
    token: Token = g.token
    with store.transaction() as tx:
        entry = Entry(
            at=store.now(tx),
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


def _bad(message: str) -> Rejected:
    return Rejected(400, "bad_request", message)


def _shown(text: str) -> str:
    return text[:60] if text.isprintable() else ascii(text[:60])


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), content_type="application/json")

"""POST /hooks/<source>: verify the raw bytes, unwrap, map, commit, answer. Those five and no more.

A delivery is taken from WSGI itself, ahead of Flask: what Flask makes of a request before a view is called, and of its
response, cost a sixth of what a delivery costs in all (tests/bench/bench_path.py). Whatever else is asked, and an error
of ours, is Flask's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from flask import Blueprint, Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wsgi import get_content_length

from bridge.alert import Json, Outcome
from bridge.errors import Rejected, Unmappable
from bridge.library import Library
from bridge.metrics import UNKNOWN_SOURCE, Metrics
from bridge.settings import BODY_BYTES_MAX_DEFAULT, DECODED_BYTES_MAX_DEFAULT
from bridge.sources.auth import UnknownSource, Verifier, forwarded_for
from bridge.sources.envelope import PLAIN, Envelope, Handshake, Unwrapped, unwrap
from bridge.sources.outside import Outside
from bridge.store.callers import Callers
from bridge.store.intake import DeliveryAnswer
from bridge.store.prepare import NOTHING, PreparedDelivery, fingerprint, map_content, seen_in, wrapped
from bridge.store.writer import Writer
from bridge.web.arrivals import ARRIVAL_SECONDS, leave_unread
from bridge.web.problem import problem
from bridge.web.refusals import Refusals

PREFIX = "/hooks/"
CONTENT_TYPE_CHARS_MAX = 200
NOT_POST = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDoor:
    """One configured source, ready to receive."""

    name: str
    tenant: str
    mapping: str
    verifier: Verifier
    scheme: str = ""  # by which the source proves itself, as bridge.yaml and the log name it
    envelope: Envelope
    body_bytes_max: int
    decoded_bytes_max: int = DECODED_BYTES_MAX_DEFAULT
    masked: Callable[[bytes], bytes] | None = None  # takes out the secret of a sender that writes it into the body


NO_DOOR = SourceDoor(
    name=UNKNOWN_SOURCE,
    tenant="",
    mapping="",
    verifier=UnknownSource(),
    envelope=PLAIN,
    body_bytes_max=BODY_BYTES_MAX_DEFAULT,
)


def hooks(
    *,
    sources: Mapping[str, SourceDoor],
    library: Library,
    writer: Writer,
    metrics: Metrics,
    clock: Callable[[], datetime],
    callers: Callers,
    outside: Outside,
) -> Blueprint:
    blueprint = Blueprint("hooks", __name__)
    refusals = Refusals()

    def receive(source: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        door = sources.get(source, NO_DOOR)
        now = clock()
        try:
            taken = _prepare(door, environ, library, now)
            if isinstance(taken, Handshake):
                return _answered(door, taken, outside, metrics)(environ, start_response)
            answer = writer.submit(taken)
        except Rejected as error:
            remote = environ.get("REMOTE_ADDR", "")
            metrics.refused(door.name, error.code)
            # What is our fault says nothing of the sender.
            callers.refused(door.name, error.code, clock(), address=remote, ours=error.status >= 500)
            refusals.tell(door.name, error, asked=source, remote=remote, now=clock())
            return problem(error)(environ, start_response)
        # The delivery is durable. If we die before the answer arrives, the sender sends it again and is given this one.
        callers.came(door.name, now)
        if taken.alerts and callers.wants_look(door.name):
            mapping = library[door.mapping].mapping
            seen = seen_in(mapping, taken.body if taken.content is None else taken.content)
            callers.looked(door.name, [text for text, _ in mapping.reads], seen)
        metrics.delivered(door.name, _outcome(answer))
        body = _encoded(answer, door.envelope.answered_too)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    blueprint.record_once(lambda setup: _go_ahead(cast("Flask", setup.app), receive))

    @blueprint.route("/hooks/<source>", methods=NOT_POST, provide_automatic_options=False)
    def greet(source: str) -> Response:
        """Asked without a secret, so nothing is told but what was asked, and nothing is done."""
        door = sources.get(source, NO_DOOR)
        _taken_query(request.environ)
        greeting = door.envelope.greetings.get(request.method)
        handshake = greeting(cast("Mapping[str, str]", request.headers)) if greeting else None
        if handshake is None:
            raise MethodNotAllowed(valid_methods=["POST"])
        return _answered(door, handshake, outside, metrics)

    return blueprint


def _go_ahead(app: Flask, receive: Callable[[str, WSGIEnvironment, StartResponse], Iterable[bytes]]) -> None:
    """Let `receive` take the deliveries that come to the app."""
    flask: WSGIApplication = app.wsgi_app

    def first(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        source = path[len(PREFIX) :].removesuffix("/")
        if environ["REQUEST_METHOD"] != "POST" or not path.startswith(PREFIX) or not source or "/" in source:
            return flask(environ, start_response)
        try:
            # WSGI hands a path over as Latin-1.
            source = source if source.isascii() else source.encode("latin-1").decode(errors="replace")
            return receive(source, environ, start_response)
        except Exception as error:  # noqa: BLE001 (told and answered as any view's)
            with app.request_context(environ):
                return app.handle_exception(error)(environ, start_response)

    app.wsgi_app = first  # type: ignore[method-assign]  # as Flask wants it done


def _prepare(
    door: SourceDoor, environ: WSGIEnvironment, library: Library, now: datetime
) -> PreparedDelivery | Handshake:
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        # So speaks nginx to what is behind it, and unless told to it says no more of the request that it passes on.
        environ.setdefault("HTTP_VIA", "1.0")
    headers = cast("Mapping[str, str]", EnvironHeaders(environ))
    query, remote = _taken_query(environ), environ.get("REMOTE_ADDR", "")
    verify = partial(door.verifier.verify, headers, remote=remote, query=query, now=now)
    if door.verifier.needs_body:
        body = _read(environ, door.body_bytes_max)
        verify(body=body)
        body = door.masked(body) if door.masked is not None else body
    else:  # a sender that is not let in does not get to keep a thread reading
        try:
            verify(body=b"")
        except Rejected:
            leave_unread(environ)
            raise
        body = _read(environ, door.body_bytes_max)
    published = library[door.mapping]
    try:
        unwrapped = unwrap(door.envelope, headers, query, body, decoded_max=door.decoded_bytes_max)
    except Unmappable as error:
        # It is authenticated, so it is kept; nothing of it says whether it is the same as another but its bytes.
        unwrapped, alerts = Unwrapped(sender_id=None, content=NOTHING), wrapped(error)
        mark = fingerprint(door.name, None, body)
    else:
        if isinstance(unwrapped, Handshake):
            return unwrapped
        mark = fingerprint(door.name, unwrapped.sender_id, unwrapped.content)
        alerts = () if unwrapped.is_ping else map_content(published.mapping, unwrapped.content, now=now)
    return PreparedDelivery(
        source=door.name,
        tenant=door.tenant,
        mapping=door.mapping,
        revision_id=published.revision_id,
        revision=published.revision,
        sender_id=unwrapped.sender_id,
        content_type=environ.get("CONTENT_TYPE", "")[:CONTENT_TYPE_CHARS_MAX],
        body=body,
        content=None if unwrapped.content is body else unwrapped.content,
        fingerprint=mark,
        alerts=alerts,
        known_by=door.scheme,
        address=remote,
        forwarded_for=forwarded_for(door.verifier, headers),
        quiet=published.mapping.quiet,
    )


def _answered(door: SourceDoor, handshake: Handshake, outside: Outside, metrics: Metrics) -> Response:
    """Raises Rejected: the sender shall ask again."""
    if handshake.visit is not None and not outside.visit(handshake.visit):
        raise Rejected(503, "confirmation_refused", "The confirmation was refused. Send it again.", retry_after=5)
    # Crash here: it is asked again, and answered again.
    metrics.delivered(door.name, "handshake")
    if handshake.told:
        _log.info("source %s: %s", door.name, handshake.told)
    response = Response(handshake.body, content_type=handshake.content_type)
    response.headers.extend(handshake.headers)
    return response


def _taken_query(environ: WSGIEnvironment) -> str:
    """A URL may hold a secret, and whoever runs gunicorn with an access log writes down what is left here."""
    query: str = environ.get("QUERY_STRING", "")
    if query:
        environ["QUERY_STRING"] = ""
        for name in ("RAW_URI", "REQUEST_URI"):
            if name in environ:
                environ[name] = environ.get("PATH_INFO", "")
    return query


def _read(environ: WSGIEnvironment, size_max: int) -> bytes:
    """The raw body, and never more than one byte above the cap, whether its length was announced or not."""
    length = get_content_length(environ)
    stream = environ["wsgi.input"]
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""  # no length and no chunks: there is no body
    if length is not None and length > size_max:
        raise _too_large(size_max)
    try:
        body: bytes = stream.read(size_max + 1 if length is None else length)
    except ParseException as error:
        raise Rejected(400, "body_malformed", "The body's chunks are not what HTTP says. Send it again.") from error
    except OSError as error:  # cut off, by the sender or by our watchdog
        raise _incomplete() from error
    if len(body) > size_max:
        raise _too_large(size_max)
    if length is not None and len(body) < length:
        raise _incomplete()
    return body


def _incomplete() -> Rejected:
    message = f"The body broke off, or did not arrive within {ARRIVAL_SECONDS:.0f} seconds. Send it again, whole."
    return Rejected(408, "body_incomplete", message)


def _too_large(size_max: int) -> Rejected:
    return Rejected(413, "too_large", f"The body is larger than the {size_max} bytes taken from this source.")


def _outcome(answer: DeliveryAnswer) -> str:
    if answer.duplicate:
        return "duplicate"
    quarantined = Outcome.QUARANTINED.value
    return quarantined if any(one.outcome == quarantined for one in answer.alerts) else "accepted"


def _encoded(answer: DeliveryAnswer, too: Mapping[str, Json]) -> bytes:
    return msgspec.json.encode(
        {
            "delivery": str(answer.delivery),
            "duplicate": answer.duplicate,
            "alerts": [
                {
                    "alert": f"{answer.delivery}-{one.position}",
                    "correlation_id": one.correlation_id,
                    "outcome": one.outcome,
                    "reason": one.reason,
                }
                for one in answer.alerts
            ],
            **too,
        }
    )

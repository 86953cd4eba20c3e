"""The service's own log: JSON lines, or readable ones on a terminal. No secret and no body in either.

Not the correlation log: this one is for whoever operates the process. Redaction goes by the name of the field, at any
depth, as the last step before rendering; texts lose what looks like credentials. Tracebacks show no variables.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

REDACTED = "[redacted]"
DEPTH_MAX = 8  # deeper values are not worth a line of log

# A field whose name holds one of these is not shown, whatever stands in it …
_SECRET_NAME = re.compile(
    r"secret|token|passw|passphrase|authori[sz]ation|signature|credential|cookie|api_?key|x-sn-apikey|private_?key"
    r"|body|payload|\braw\b",
    re.IGNORECASE,
)
# … unless it only says how much there is.
_MEASURE_NAME = re.compile(r"_(bytes|bytes_max|count|seconds)$")
_CREDENTIALS = re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_USER_INFO = re.compile(r"(://)[^/@\s]+@")
_HOOK_QUERY = re.compile(r"(/hooks/[^\s?'\"]*\?)[^\s'\"]+")  # a source's secret may be in its URL
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

CHATTY = ("urllib3", "werkzeug", "alembic", "watchfiles")  # libraries that tell at INFO what nobody asked


def set_up(stream: TextIO) -> None:
    """Once, at the start of a process: our own events and those of libraries go to `stream` in one shape."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(stream)],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor. Names decide; values are only searched for credentials that slipped into a text."""
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own, removed before rendering
            event[name] = _redacted(name, value, DEPTH_MAX)
    return event


def _redacted(name: str, value: Any, depth: int) -> Any:
    if _SECRET_NAME.search(name) and not (_MEASURE_NAME.search(name) and isinstance(value, int | float)):
        return REDACTED
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, str):
        return _clean(value)
    if depth == 0:
        return "[…]"
    if isinstance(value, dict):
        return {str(key): _redacted(str(key), item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item, depth - 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean(str(value))


def _clean(text: str) -> str:
    text = _CREDENTIALS.sub(lambda match: f"{match[1]} {REDACTED}", text)
    text = _USER_INFO.sub(rf"\1{REDACTED}@", text)
    text = _HOOK_QUERY.sub(rf"\1{REDACTED}", text)
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _renderer(stream: TextIO) -> structlog.types.Processor:
    if not stream.isatty():
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        timestamp_key="at", repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
    )

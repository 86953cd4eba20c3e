"""JSON into our own types, whichever threads ask first.

msgspec learns a type when it first decodes it, and puts what it has learnt so far where other threads find it: one that
decodes the same type at that moment ends the process (SIGSEGV). So each is learnt under a lock.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_learning = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(raw: bytes, kind: type[T]) -> T:
    """Raises msgspec.DecodeError."""
    decoder = _decoders.get(kind)
    if decoder is None:
        with _learning:  # types are made of types: not two at a time, whichever they are
            decoder = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return decoder.decode(raw)  # type: ignore[no-any-return]

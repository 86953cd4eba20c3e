"""Compressed bodies, under a cap: a kilobyte can hold a gigabyte."""

from __future__ import annotations

import zlib

from bridge.errors import Rejected, Unmappable

GZIP, ZLIB, RAW = 31, 15, -15  # zlib's window bits, with what stands around the stream


def decoded(coding: str, body: bytes, bytes_max: int) -> bytes:
    """By the Content-Encoding, at most so many bytes. Raises Rejected(413, 415), Unmappable(not_decodable)."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        return _inflated(body, GZIP, bytes_max)
    if coding == "deflate":  # of a zlib stream, as the standard has it, and of a bare one, as some send it
        is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflated(body, ZLIB if is_zlib else RAW, bytes_max)
    message = "The body's coding is not taken: send it as gzip or deflate, or without Content-Encoding."
    raise Rejected(415, "encoding_unsupported", message)


def _inflated(body: bytes, bits: int, bytes_max: int) -> bytes:
    pieces, size = [], 0
    while body:
        stream = zlib.decompressobj(bits)
        try:
            piece = stream.decompress(body, bytes_max + 1 - size)
        except zlib.error as error:
            raise _not_decodable() from error
        size += len(piece)
        if size > bytes_max:
            told = f"The body is larger than {bytes_max} bytes once it is decompressed."
            raise Rejected(413, "too_large", told)
        if not stream.eof:
            raise _not_decodable()
        pieces.append(piece)
        body = stream.unused_data if bits == GZIP else b""  # a gzip file may have several members
    return b"".join(pieces)


def _not_decodable() -> Unmappable:
    return Unmappable("not_decodable", "The body is not what its Content-Encoding says, or it breaks off.")

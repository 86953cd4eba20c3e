"""What speaks of a person or a host, and what only looks like it."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sources.mention import Identifier

SPEAKS = {
    "a value": ("ann", {"user": "ann"}),
    "whatever its case": ("Ann", {"user": "ANN"}),
    "of another alphabet": ("straße", {"user": "STRASSE"}),
    "deep in a list": ("ann", {"a": [{"b": [["ann"]]}]}),
    "a key": ("web-1", {"hosts": {"web-1": 3}}),
    "a number": ("4711", {"employee": 4711}),
    "a word of a text": ("ann", {"message": "login of ann from 10.0.0.1"}),
    "at the end of a sentence": ("ann", {"message": "It was ann."}),
    "behind a domain": ("ann", {"user": "CORP\\ann"}),
    "with its domain": ("CORP\\ann", {"user": "corp\\ANN"}),
    "in JSON within a text": ("ann", {"Message": '{"user": "ann"}'}),
    "an address": ("10.0.0.1", {"message": "from 10.0.0.1:443"}),
    "a mail address": ("ann@corp.example", {"message": "<ann@corp.example>"}),
}
DOES_NOT = {
    "part of a word": ("ann", {"user": "joann"}),
    "part of a name": ("web-1", {"host": "web-10"}),
    "a longer name": ("web-1", {"host": "web-1-old"}),
    "another's address": ("10.0.0.1", {"address": "110.0.0.1"}),
    "a longer address": ("10.0.0.1", {"address": "10.0.0.12"}),
    "a name with a dot": ("ann", {"user": "ann.lee"}),
    "the end of one": ("lee", {"user": "ann.lee"}),
    "a mail address of another": ("ann@corp.example", {"user": "joann@corp.example"}),
    "a domain below": ("ann@corp.example", {"user": "ann@corp.example.org"}),
    "part of a number": ("471", {"employee": 4711}),
    "true": ("1", {"on": True}),
}


@pytest.mark.parametrize(("identifier", "document"), SPEAKS.values(), ids=SPEAKS)
def test_a_document_that_speaks_of_it(identifier: str, document: object) -> None:
    assert Identifier(identifier).is_in_bytes(json.dumps(document).encode())
    assert Identifier(identifier).is_in_bytes(json.dumps(document, ensure_ascii=False).encode())


@pytest.mark.parametrize(("identifier", "document"), DOES_NOT.values(), ids=DOES_NOT)
def test_a_document_that_does_not(identifier: str, document: object) -> None:
    assert not Identifier(identifier).is_in_bytes(json.dumps(document).encode())


@pytest.mark.parametrize(
    "raw",
    [
        gzip.compress(b'{"user": "ann"}', mtime=0),
        zlib.compress(b'{"user": "ann"}'),
        b'{"user": "\\u0061nn"}',
        b'{"n": 1}\n{"user": "ann"}\n',
        b'{"n": 1}\n{"user": "\\u0061nn"}\n',
        b'{"user": "ann", "more": "br',
        b"user=%61nn&x=1",
        b"text=login+of+ann",
        b"\xff\xfe ann",
        b"ann",
    ],
)
def test_whatever_the_bytes_are_coded_in(raw: bytes) -> None:
    assert Identifier("ann").is_in_bytes(raw)
    assert not Identifier("bob").is_in_bytes(raw)


@pytest.mark.parametrize("raw", [b"", b"\x1f\x8b broken", b"x\x9c broken", b"[" * 100_000, b"\x00\xff"])
def test_bytes_that_are_nothing_hold_nobody(raw: bytes) -> None:
    assert not Identifier("ann").is_in_bytes(raw)


def test_an_identifier_is_something() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        Identifier("  ")


@given(st.text(min_size=1), st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner)))
def test_a_value_is_found_wherever_it_stands(text: str, around: object) -> None:
    try:
        identifier = Identifier(text)
    except ValueError:
        return
    document = {"around": around, "list": [around, {"value": identifier.text}]}
    assert identifier.is_in(document)
    try:
        raw = json.dumps(document).encode()
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert identifier.is_in_bytes(raw)

"""Connecting a product: the source that bridge.yaml needs, its secret, its files; all checked before any is written.

The order of writing is: what the source needs, then bridge.yaml. If we die in between, nothing uses the rest yet.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge.alert import Json
from bridge.errors import Misconfigured, Problem
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files
from bridge.mapping.product import SCHEMES, Product, Way, filled
from bridge.products import Offer
from bridge.settings import Settings, Source
from bridge.settings.insertion import NoPlace, source_lines, with_source
from bridge.settings.load import read_file
from bridge.settings.routes import route_problems
from bridge.settings.section import NAME
from bridge.sources.auth import WITHOUT_SECRET
from bridge.sources.signing import Message, Proof, proof_of
from bridge.yamlfile import YamlFile, load_yaml, parse_yaml

SECRET_BYTES = 32
# Scheme -> what only the user knows of it, and what that is. A product may settle some.
OWN: dict[str, dict[str, str]] = {
    "sns": {"topics": "the ARN of the topic, or several with commas between"},
    "oidc": {
        "issuer": "who signs the tokens: https://login.microsoftonline.com/<tenant id>/v2.0",
        "audience": "what the tokens are for: an application's id, or the source's URL",
        "subject": "whose tokens are taken: a service account's address, an application's id",
    },
    "mtls": {
        "header": "the header in which your proxy says whose certificate it saw",
        "trusted_proxies": "the addresses that your proxies connect from",
        "subject": "what the header says of this sender",
    },
}
LISTS = frozenset({"topics", "subject", "trusted_proxies"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for."""

    offer: Offer
    name: str  # of the source
    way: Way
    own: MappingType[str, str]  # by `--set`
    base: str  # https://bridge.example.com: how the product reaches the bridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What is to be written, and what a person is told. Nothing was written yet."""

    source: Source
    url: str  # as the product is given it: with the secret in it, where that is how it proves itself
    header: str  # the line that proves it; "" where there is none
    secret: str  # "": there is none, or the product makes it
    secret_file: Path | None
    steps: tuple[str, ...]
    product: Product | None
    text: str  # of bridge.yaml
    files: MappingType[Path, bytes]  # of the mapping, where the mappings folder does not have them yet


def connection(settings: Settings, wanted: Wanted) -> Connection:
    """Raises Misconfigured: with it, bridge.yaml or the mapping would not be taken."""
    file = load_yaml(settings.file)
    _check_name(file, settings, wanted)
    plain_url = f"{wanted.base.rstrip('/')}/hooks/{wanted.name}"
    entry = _entry(wanted, plain_url)
    secret_file = settings.file.absolute().parent / _secret_path(wanted.name) if _has_secret(wanted.way) else None
    if secret_file is not None and secret_file.exists():
        hint = "remove it if nothing uses it, or give the source another --name"
        raise _refused(file, f"{secret_file} is there already, and is not overwritten", hint)
    text = _text(file, wanted.name, entry)
    source = _read(settings, wanted, text)
    secret = "" if secret_file is None or wanted.way.secret_given else _fresh(wanted.way)
    proof = _proof(source, secret)
    url = plain_url + (f"?{proof.query}" if proof.query else "")
    header = next((f"{name}: {value}" for name, value in proof.headers.items()), "")
    known = {"url": url, "header": header, "secret": secret, "source": wanted.name}
    values = {key: value for key, value in known.items() if value} | {"username": source.auth.username or ""}
    return Connection(
        source=source,
        url=url,
        header=header,
        secret=secret,
        secret_file=secret_file,
        steps=_steps(wanted, values),
        product=wanted.offer.product,
        text=text,
        files=_files(settings, wanted.offer),
    )


def write(made: Connection) -> None:
    """All but bridge.yaml. Raises OSError."""
    for path, content in made.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if made.secret_file is not None:
        made.secret_file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(made.secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{made.secret}\n" if made.secret else "")


def _check_name(file: YamlFile, settings: Settings, wanted: Wanted) -> None:
    if NAME.fullmatch(wanted.name) is None:
        hint = "letters, digits, `.`, `-` and `_`, at most 64, the first a letter or digit"
        raise _refused(file, f"`{wanted.name}` cannot be a source's name: it stands in URLs", hint)
    if wanted.name in settings.sources:
        hint = f"--name OTHER makes another; `bridge sources test {wanted.name}` tries this one"
        problem = file.problem(
            ("sources", wanted.name), f"there is a source `{wanted.name}` already", hint, at_key=True
        )
        raise Misconfigured([problem])


def _refused(file: YamlFile, message: str, hint: str) -> Misconfigured:
    return Misconfigured([Problem(file.name, 0, 0, message, hint)])


def _entry(wanted: Wanted, url: str) -> dict[str, Json]:
    """The source as bridge.yaml has it."""
    auth = _auth(wanted, url)
    if _has_secret(wanted.way):
        auth["secret"] = {"file": _secret_path(wanted.name)}
    entry: dict[str, Json] = {"mapping": wanted.offer.name}
    if wanted.way.envelope is not None:
        entry["envelope"] = wanted.way.envelope
    return entry | {"auth": auth}


def _auth(wanted: Wanted, url: str) -> dict[str, Json]:
    scheme = str(wanted.way.auth["scheme"])
    own, settled = OWN.get(scheme, {}), dict(wanted.way.auth)
    takes = (*SCHEMES[scheme], *(key for key in own if key not in SCHEMES[scheme]))
    for key in wanted.own:
        if key not in takes:
            known = f"it takes {', '.join(takes)}" if takes else "it takes nothing of yours"
            raise Misconfigured([Problem(f"--set {key}", 0, 0, f"`{key}` does not go with `{scheme}`", known)])
    missing = [key for key in own if key not in settled and key not in wanted.own]
    if missing:
        raise Misconfigured(
            [Problem(f"--set {key}=…", 0, 0, f"`{scheme}` needs your `{key}`", own[key]) for key in missing]
        )
    auth = {key: _given_url(value, url) for key, value in settled.items()}
    auth |= {key: value.split(",") if key in LISTS and "," in value else value for key, value in wanted.own.items()}
    return auth | ({"username": wanted.name} if scheme == "basic" and "username" not in auth else {})


def _given_url(value: Json, url: str) -> Json:
    from bridge.mapping.language import parse_text

    return filled(parse_text(value), {"url": url}) if isinstance(value, str) else value


def _has_secret(way: Way) -> bool:
    return way.auth["scheme"] not in WITHOUT_SECRET


def _secret_path(name: str) -> str:
    return f"var/{name}.secret"


def _fresh(way: Way) -> str:
    if way.auth["scheme"] == "standard_webhooks":
        return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return secrets.token_urlsafe(SECRET_BYTES)


def _text(file: YamlFile, name: str, entry: dict[str, Json]) -> str:
    try:
        return with_source(file, name, entry)
    except NoPlace as error:
        lines = "\n".join(source_lines(name, entry))
        hint = f"add it under `sources` yourself:\n{lines}"
        raise _refused(file, f"a source cannot be put in safely: {error}", hint) from error


def _read(settings: Settings, wanted: Wanted, text: str) -> Source:
    """The new source as the bridge will read it."""
    found, problems = read_file(parse_yaml(text.encode(), str(settings.file)), settings.file)
    problems += route_problems(found, {wanted.offer.name: _as_it_will_be(settings, wanted.offer)})
    if problems:
        raise Misconfigured(problems)
    return found.sources[wanted.name]


def _proof(source: Source, secret: str) -> Proof:
    """What the sender must show, where that is the same for every body."""
    if source.auth.scheme not in ("bearer", "header", "query", "basic") or not secret:
        return Proof()
    long_ago = datetime.fromtimestamp(0, UTC)
    return proof_of(source.auth, Message(body=b"", secret=secret.encode(), message_id="", now=long_ago))


def _steps(wanted: Wanted, values: dict[str, str]) -> tuple[str, ...]:
    product = wanted.offer.product
    return tuple(filled(text, values).strip() for text in product.steps(wanted.way)) if product is not None else ()


def _as_it_will_be(settings: Settings, offer: Offer) -> Mapping:
    """The mapping with those of its files that are there already, should they differ. Raises Misconfigured."""
    there = {path: settings.mappings_path / path for path in offer.mapping.files if offer.shipped}
    texts = {path: file.read_text("utf-8") for path, file in there.items() if file.exists()}
    files = offer.mapping.files | texts
    return compile_files(offer.name, files) if files != offer.mapping.files else offer.mapping


def _files(settings: Settings, offer: Offer) -> dict[Path, bytes]:
    """What of a shipped mapping is not there yet; what is there stays, for people may have changed it."""
    if not offer.shipped:
        return {}
    found = {settings.mappings_path / path: content for path, content in offer.files().items()}
    return {path: content for path, content in found.items() if not path.exists()}

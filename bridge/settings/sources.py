"""The section `sources` of bridge.yaml: who may post, and how each proves itself."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from bridge.alert import OWN_MAPPING
from bridge.settings import BODY_BYTES_MAX_DEFAULT, DECODED_BYTES_MAX_DEFAULT, Source, SourceAuth, TokenIssuer
from bridge.settings.references import secrets_of
from bridge.settings.section import Section
from bridge.settings.signatures import header_of, signature_of

BODY_BYTES_LARGEST = 8 << 20  # what one group commit takes in
SUBJECTS_MAX = 20
TOPICS_MAX = 100
EXPECT_EVERY_LEAST = timedelta(minutes=5)  # what came is known to the minute

ENVELOPES = (
    *("none", "github", "gitlab", "pagerduty", "snyk", "vault_radar", "okta", "standard_webhooks"),
    *("sns", "eventbridge", "pubsub", "event_grid", "graph", "cloudevents", "hec", "ndjson", "kibana", "form"),
)

_MAPPING = re.compile(r"[a-z0-9][a-z0-9_-]*")
_USERNAME = re.compile(r"[^:\x00-\x1f\x7f]+")  # Basic credentials end the name at the first colon
_TOPIC = re.compile(r"arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_TENANT = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

# Issuer -> (its keys, the claims that name whom a token is of). Microsoft's v1 tokens name the application in `appid`,
# those of v2 in `azp`; Google's name a service account by its address.
ISSUERS: tuple[tuple[re.Pattern[str], str, tuple[str, ...]], ...] = (
    (re.compile(r"https://accounts\.google\.com"), "https://www.googleapis.com/oauth2/v3/certs", ("email", "sub")),
    (
        re.compile(rf"https://login\.microsoftonline\.com/{_TENANT}/v2\.0"),
        r"https://login.microsoftonline.com/\1/discovery/v2.0/keys",
        ("azp", "sub"),
    ),
    (
        re.compile(rf"https://sts\.windows\.net/{_TENANT}/"),
        r"https://login.microsoftonline.com/\1/discovery/keys",
        ("appid", "sub"),
    ),
)


def source_of(name: str, section: Section, folder: Path) -> Source:
    mapping = section.text("mapping")
    if mapping == OWN_MAPPING:
        section.refuse("mapping", f"`{mapping}` is the bridge's own", "give yours another name")
    if mapping and _MAPPING.fullmatch(mapping) is None:
        section.refuse("mapping", f"`{mapping}` is not a mapping's name", "`elastic` means the file elastic.yaml")
    source = Source(
        name=name,
        mapping=mapping,
        auth=_auth(section.section("auth", required=True), folder),
        envelope=section.word("envelope", ENVELOPES, "") or None,
        tenant=section.name("tenant", "default"),
        body_bytes_max=section.integer("body_bytes_max", BODY_BYTES_MAX_DEFAULT, least=1024, most=BODY_BYTES_LARGEST),
        decoded_bytes_max=section.integer(
            "decoded_bytes_max", DECODED_BYTES_MAX_DEFAULT, least=1024, most=DECODED_BYTES_MAX_DEFAULT
        ),
        expect_every=_expect_every(section),
    )
    if source.auth.scheme == "graph" and source.envelope not in (None, "graph"):
        section.refuse("envelope", f"`{source.envelope}` does not go with the scheme `graph`", "leave it out")
    section.finish()
    return source


def _expect_every(section: Section) -> timedelta | None:
    if not section.has("expect_every"):
        return None
    return section.duration("expect_every", EXPECT_EVERY_LEAST, least=EXPECT_EVERY_LEAST)


def _auth(auth: Section, folder: Path) -> SourceAuth:
    build = SCHEMES.get(auth.word("scheme", tuple(SCHEMES), None))
    if build is None:
        return SourceAuth(scheme="")
    built = build(auth, folder)
    auth.finish()
    return built


def _none(_auth: Section, _folder: Path) -> SourceAuth:
    return SourceAuth(scheme="none")


def _bearer(auth: Section, folder: Path) -> SourceAuth:
    return SourceAuth(scheme="bearer", secrets=secrets_of(auth, folder))


def _header(auth: Section, folder: Path) -> SourceAuth:
    header = header_of(auth, "name")
    prefix = auth.text("prefix", "")
    return SourceAuth(scheme="header", secrets=secrets_of(auth, folder), header=header, prefix=prefix)


def _query(auth: Section, folder: Path) -> SourceAuth:
    return SourceAuth(scheme="query", secrets=secrets_of(auth, folder), parameter=auth.text("name"))


def _basic(auth: Section, folder: Path) -> SourceAuth:
    username = auth.text("username")
    if username and _USERNAME.fullmatch(username) is None:
        auth.refuse("username", "cannot be a user's name here", "no colon, no control characters")
    return SourceAuth(scheme="basic", secrets=secrets_of(auth, folder), username=username)


def _hmac(auth: Section, folder: Path) -> SourceAuth:
    preset, signature = signature_of(auth)
    return SourceAuth(scheme="hmac", secrets=secrets_of(auth, folder), preset=preset, signature=signature)


def _standard_webhooks(auth: Section, folder: Path) -> SourceAuth:
    return SourceAuth(scheme="standard_webhooks", secrets=secrets_of(auth, folder))


def _graph(auth: Section, folder: Path) -> SourceAuth:
    return SourceAuth(scheme="graph", secrets=secrets_of(auth, folder))


def _sns(auth: Section, _folder: Path) -> SourceAuth:
    topics = _some_texts(auth, "topics", TOPICS_MAX, "the ARN of each topic: anybody's topic is signed by AWS")
    for index, topic in enumerate(topics):
        if _TOPIC.fullmatch(topic) is None:
            hint = "as in arn:aws:sns:eu-central-1:123456789012:alerts"
            auth.refuse(("topics", index), f"`{topic}` is not the ARN of a topic", hint)
    return SourceAuth(scheme="sns", topics=topics)


def _oidc(auth: Section, _folder: Path) -> SourceAuth:
    issuer = auth.text("issuer")
    keys_url, claims = _keys_of(issuer)
    if auth.has("keys"):
        keys_url = auth.text("keys")
        if not _is_plain_https(keys_url):
            auth.refuse("keys", "must be an https:// URL of a JWKS, without user or fragment", "as the issuer has it")
    elif issuer and keys_url is None:
        hint = (
            "known: https://accounts.google.com, https://login.microsoftonline.com/<tenant id>/v2.0, "
            "https://sts.windows.net/<tenant id>/; for another give `keys`, the URL of its JWKS"
        )
        auth.refuse("issuer", f"the keys of `{issuer}` are not known", hint)
    audience = auth.text("audience")
    hint = "whose tokens are taken: a service account's address, an application's id; the issuer serves others as well"
    subjects = _some_texts(auth, "subject", SUBJECTS_MAX, hint)
    token = TokenIssuer(
        issuer=issuer, keys_url=keys_url or "", audience=audience, subjects=subjects, subject_claims=claims
    )
    return SourceAuth(scheme="oidc", token=token)


def _keys_of(issuer: str) -> tuple[str | None, tuple[str, ...]]:
    for known, keys, claims in ISSUERS:
        if (match := known.fullmatch(issuer)) is not None:
            return match.expand(keys), claims
    return None, ("sub",)


def _is_plain_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment
    except ValueError:
        return False


def _mtls(auth: Section, _folder: Path) -> SourceAuth:
    header = header_of(auth, "header")
    hint = "the addresses that your proxies connect from, as in 10.0.0.5 or 10.0.0.0/29"
    proxies = _some_texts(auth, "trusted_proxies", SUBJECTS_MAX, hint)
    for index, proxy in enumerate(proxies):
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            auth.refuse(("trusted_proxies", index), f"`{proxy}` is neither an address nor a network", hint)
    subjects = _some_texts(auth, "subject", SUBJECTS_MAX, "what the header says of the client's certificate, whole")
    return SourceAuth(scheme="mtls", header=header, trusted_proxies=proxies, subjects=subjects)


def _some_texts(section: Section, key: str, most: int, hint: str) -> tuple[str, ...]:
    """One text or a list; at least one."""
    texts = section.texts(key)
    if not section.has(key):
        section.missing(key, hint)
    elif not texts or not all(texts):
        section.refuse(key, f"`{key}` is empty", hint)
    elif len(texts) > most:
        section.refuse(key, f"`{key}` holds {len(texts)}; at most {most} are taken", "make two sources of it")
    return texts


SCHEMES: dict[str, Callable[[Section, Path], SourceAuth]] = {
    "none": _none,
    "bearer": _bearer,
    "header": _header,
    "query": _query,
    "basic": _basic,
    "hmac": _hmac,
    "standard_webhooks": _standard_webhooks,
    "graph": _graph,
    "sns": _sns,
    "oidc": _oidc,
    "mtls": _mtls,
}

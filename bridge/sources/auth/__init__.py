"""How a source proves itself: verifiers over the raw bytes, before anything parses them.

A verifier raises Rejected and nothing else, whatever it is sent. It compares in constant time, tries every secret that
is valid during a rotation, and takes the time as an argument.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.settings import SourceAuth
from bridge.sources.auth.graph import ClientState
from bridge.sources.auth.identity_token import IdentityToken
from bridge.sources.auth.place import LoopbackOnly, ProxiedCertificate, UnknownSource, forwarded_for
from bridge.sources.auth.secret import BasicCredentials, QuerySecret, SharedSecret
from bridge.sources.auth.signed_body import BodySignature, TemplateSignature
from bridge.sources.auth.sns import SnsSignature
from bridge.sources.auth.standard_webhooks import StandardWebhooks
from bridge.sources.auth.verifier import Verifier, misconfigured
from bridge.sources.outside import Outside

__all__ = ["SCHEMES", "UnknownSource", "Verifier", "forwarded_for", "verifier_for"]

Secrets = tuple[bytes, ...]

WITHOUT_SECRET = ("none", "sns", "oidc", "mtls")


def verifier_for(source: str, auth: SourceAuth, secrets: Secrets, outside: Outside | None = None) -> Verifier:
    """Built once, at start; `outside` is where it finds keys of others, later: None to see whether it can be built.

    Raises Misconfigured when the scheme is unknown or a secret cannot serve it.
    """
    build = SCHEMES.get(auth.scheme)
    if build is None:
        raise misconfigured(source, f"unknown scheme {auth.scheme!r}", f"one of {', '.join(SCHEMES)}")
    if auth.scheme not in WITHOUT_SECRET and (not secrets or not all(secrets)):
        raise misconfigured(source, "a secret is missing or empty", "put a long random value behind its reference")
    return build(source, auth, secrets, outside)


def _header(source: str, auth: SourceAuth, secrets: Secrets, _outside: Outside | None) -> Verifier:
    if not auth.header:
        raise misconfigured(source, "the scheme `header` needs `name`", "name the header that carries the secret")
    return SharedSecret(auth.header, auth.prefix.lower(), secrets)


def _hmac(source: str, auth: SourceAuth, secrets: Secrets, _outside: Outside | None) -> Verifier:
    if auth.signature is None:
        raise misconfigured(source, "the scheme `hmac` needs `preset`, or `header`", "see docs/sources.md")
    return BodySignature.of(auth.signature, secrets) or TemplateSignature.of(auth.signature, secrets)


def _standard_webhooks(source: str, _auth: SourceAuth, secrets: Secrets, _outside: Outside | None) -> Verifier:
    return StandardWebhooks.of(source, secrets)


def _oidc(source: str, auth: SourceAuth, _secrets: Secrets, outside: Outside | None) -> Verifier:
    if auth.token is None or not auth.token.subjects:
        raise misconfigured(source, "the scheme `oidc` needs `issuer`, `audience` and `subject`", "see docs/sources.md")
    return IdentityToken(auth.token, outside)


def _sns(source: str, auth: SourceAuth, _secrets: Secrets, outside: Outside | None) -> Verifier:
    if not auth.topics:
        raise misconfigured(source, "the scheme `sns` needs `topics`", "the ARN of each: anybody's topic is signed")
    return SnsSignature(frozenset(auth.topics), outside)


def _mtls(source: str, auth: SourceAuth, _secrets: Secrets, _outside: Outside | None) -> Verifier:
    if not (auth.header and auth.trusted_proxies and auth.subjects):
        needs = "the scheme `mtls` needs `header`, `trusted_proxies` and `subject`"
        raise misconfigured(source, needs, "see docs/sources.md")
    return ProxiedCertificate.of(auth.header, auth.trusted_proxies, auth.subjects)


SCHEMES: dict[str, Callable[[str, SourceAuth, Secrets, Outside | None], Verifier]] = {
    "none": lambda _source, _auth, _secrets, _outside: LoopbackOnly(),
    "bearer": lambda _source, _auth, secrets, _outside: SharedSecret("Authorization", "bearer ", secrets),
    "header": _header,
    "query": lambda _source, auth, secrets, _outside: QuerySecret((auth.parameter or "").encode(), secrets),
    "basic": lambda _source, auth, secrets, _outside: BasicCredentials.of(auth.username or "", secrets),
    "hmac": _hmac,
    "standard_webhooks": _standard_webhooks,
    "graph": lambda _source, _auth, secrets, _outside: ClientState(secrets),
    "sns": _sns,
    "oidc": _oidc,
    "mtls": _mtls,
}

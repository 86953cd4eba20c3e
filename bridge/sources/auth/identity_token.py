"""Scheme `oidc`: a bearer token signed by the sender's identity provider, as of Google Pub/Sub and Microsoft Entra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

import jwt
import msgspec

from bridge.settings import TOLERANCE_DEFAULT, TokenIssuer
from bridge.sources.auth.verifier import refusal
from bridge.sources.outside import Outside
from bridge.typed import decode

ALGORITHMS = ["RS256", "ES256"]  # asymmetric ones alone: a public key must never serve as an HMAC's secret
TOKEN_CHARACTERS_MAX = 16 * 1024
KEYS_MAX = 100
_NOT_A_TOKEN = (jwt.PyJWTError, ValueError, TypeError, RecursionError)  # RecursionError: brackets upon brackets

Claims = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IdentityToken:
    needs_body: ClassVar[bool] = False

    trusted: TokenIssuer
    outside: Outside | None

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            raise refusal()
        claims = self._signed_claims(token, self.outside)
        if claims is None or not _is_valid_at(claims, now) or not self._is_of_a_subject(claims):
            raise refusal()

    def _signed_claims(self, token: str, outside: Outside | None) -> Claims | None:
        kid = _key_id(token)
        if kid is None or outside is None:
            return None
        key = self._key(kid, outside)
        if key is None:
            return None
        try:
            claims: Claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self.trusted.audience,
                issuer=self.trusted.issuer,
                # The time is an argument here, and PyJWT would read the clock.
                options={"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except _NOT_A_TOKEN:
            return None
        return claims

    def _key(self, kid: str, outside: Outside) -> jwt.PyJWK | None:
        """A key that is not among those we hold may be new: they are asked for again, if that is not too often."""
        for again in (False, True):
            keys = keys_in(outside.document(self.trusted.keys_url, again=again) or b"")
            if kid in keys:
                return keys[kid]
        return None

    def _is_of_a_subject(self, claims: Claims) -> bool:
        named = [claims.get(name) for name in self.trusted.subject_claims if name != "email" or _has_email(claims)]
        return any(one in self.trusted.subjects for one in named if isinstance(one, str))


def _key_id(token: str) -> str | None:
    try:
        header = jwt.get_unverified_header(token)
    except _NOT_A_TOKEN:
        return None
    kid = header.get("kid")
    return kid if isinstance(kid, str) and header.get("alg") in ALGORITHMS else None


def _has_email(claims: Claims) -> bool:
    return claims.get("email_verified") is True


def _is_valid_at(claims: Claims, now: datetime) -> bool:
    tolerance, at = TOLERANCE_DEFAULT.total_seconds(), now.timestamp()
    if not _is_number(claims.get("exp")) or not at - tolerance <= claims["exp"]:
        return False
    begins = [claims[name] for name in ("nbf", "iat") if name in claims]
    return all(_is_number(begin) and begin <= at + tolerance for begin in begins)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


@lru_cache(maxsize=32)
def keys_in(jwks: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS that can sign, by their ids; one that is strange is none, and takes no other with it."""
    try:
        found = decode(jwks, _KeySet).keys
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    keys = {}
    for one in found[:KEYS_MAX]:
        kid = one.get("kid")
        if not isinstance(kid, str) or one.get("use", "sig") != "sig" or one.get("kty") not in ("RSA", "EC"):
            continue
        try:
            keys[kid] = jwt.PyJWK.from_dict({"alg": "RS256" if one["kty"] == "RSA" else "ES256", **one})
        except _NOT_A_TOKEN:
            continue
    return keys

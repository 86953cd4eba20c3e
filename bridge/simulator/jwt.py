"""JWT assertions, checked with nothing but a cryptography library: the caller's own JWT library is not asked. Pure."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.alert import Json

SKEW_SECONDS = 300  # [OFFICIAL]
HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"256": "secp256r1", "384": "secp384r1", "512": "secp521r1"}

Claims = dict[str, Json]


class BadAssertion(Exception):
    """The assertion proves nothing; the text says why, for a violation's detail."""


def verified_claims(assertion: str, keys: Mapping[str, str]) -> Claims:
    """The claims of an assertion that one of `keys` (kid -> PEM) signed; raises BadAssertion."""
    try:
        head, body, signature = assertion.split(".")
        header, claims = _object(head), _object(body)
        signed, raw = f"{head}.{body}".encode(), _bytes(signature)
    except (ValueError, binascii.Error, UnicodeError) as error:
        raise BadAssertion("it is no JWT of three parts") from error
    pem = keys.get(str(header.get("kid", "")))
    if pem is None:
        raise BadAssertion(f"no key is mapped to kid {header.get('kid')!r}")
    _verify(str(header.get("alg")), pem, signed, raw)
    return claims


def check_claims(claims: Claims, *, issuer: str, audience: str, now: datetime) -> None:
    """Raises BadAssertion unless issuer, audience and expiry are right [OFFICIAL: required, with sub]."""
    if missing := [name for name in ("iss", "aud", "sub", "exp") if name not in claims]:
        raise BadAssertion(f"claims are missing: {', '.join(missing)}")
    if claims["iss"] != issuer:
        raise BadAssertion(f"iss is {claims['iss']!r}, not {issuer!r}")
    given = claims["aud"]
    if audience not in (given if isinstance(given, list) else [given]):
        raise BadAssertion(f"aud is {given!r}, not {audience!r}")
    expires = claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise BadAssertion("exp is no number")
    if expires + SKEW_SECONDS <= now.timestamp():
        raise BadAssertion(f"it expired at {expires}")


def _verify(algorithm: str, pem: str, signed: bytes, signature: bytes) -> None:
    family, bits = algorithm[:2], algorithm[2:]
    if family not in ("RS", "ES") or bits not in HASHES:
        raise BadAssertion(f"alg {algorithm!r} is not RS256, RS384, RS512, ES256, ES384 or ES512")
    key = _public_key(pem)
    try:
        if family == "RS" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), HASHES[bits])
            return
        if family == "ES" and isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == CURVES[bits]:
            half = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * half:
                raise BadAssertion("the signature has a wrong length")
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(HASHES[bits]))
            return
    except InvalidSignature:
        raise BadAssertion("the signature is not of the key that kid names") from None
    raise BadAssertion(f"the key that kid names is not for {algorithm}")


def _public_key(pem: str) -> object:
    raw = pem.encode()
    if "BEGIN CERTIFICATE" in pem:
        return x509.load_pem_x509_certificate(raw).public_key()
    return load_pem_public_key(raw)


def _object(part: str) -> Claims:
    try:
        value = msgspec.json.decode(_bytes(part))
    except msgspec.DecodeError as error:
        raise ValueError("no JSON") from error
    if isinstance(value, dict):
        return value
    raise ValueError("no object")


def _bytes(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))

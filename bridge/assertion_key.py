"""The private key that signs assertions for ServiceNow's OAuth: RSA signs RS256, a P-256 key ES256."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

RSA_BITS_MIN = 2048


def load(pem: bytes, password: bytes | None) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, str]:
    """The key, and the algorithm it signs with. Raises ValueError whose text goes on from the file's name."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=password)
    except TypeError as error:
        if password is None:
            raise ValueError("has a password: give it as `private_key_password`") from error
        raise ValueError("has no password: remove `private_key_password`") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        why = "is not a private key in PEM" + (", or its password is wrong" if password is not None else "")
        raise ValueError(why) from error
    if isinstance(key, RSAPrivateKey):
        if key.key_size < RSA_BITS_MIN:
            raise ValueError(f"has {key.key_size} bits: an RSA key needs {RSA_BITS_MIN} or more")
        return key, "RS256"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key, "ES256"
    raise ValueError("is neither an RSA key nor one on the curve P-256")

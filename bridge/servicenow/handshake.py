"""Why a TLS handshake failed, from what OpenSSL says of it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

# OpenSSL's reasons to refuse a certificate -> our code
VERIFY_CODES = {
    10: "tls_expired",
    18: "tls_issuer_unknown",  # self-signed
    19: "tls_issuer_unknown",  # self-signed, in the chain
    20: "tls_issuer_unknown",
    21: "tls_issuer_unknown",
    62: "tls_other_name",
    64: "tls_other_name",  # an address
}
NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


def why(error: BaseException | None) -> tuple[str, str]:
    """(code, OpenSSL's words for it), of an error that may be wrapped in others."""
    for one in _within(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return VERIFY_CODES.get(one.verify_code, "tls_failed"), one.verify_message
        if isinstance(one, ssl.SSLError):
            reason = one.reason or str(one)
            return "tls_not_spoken" if reason in NOT_TLS else "tls_failed", reason
    return "tls_failed", "" if error is None else str(error)


def _within(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        wrapped = next((one for one in error.args if isinstance(one, BaseException)), None)  # urllib3 never raised it
        error = error.__cause__ or error.__context__ or wrapped

"""Steps: the name of the instance, and the connection to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from requests import adapters

from bridge.doctor.causes import causes_of
from bridge.doctor.finding import Finding, not_tested, ok, wrong
from bridge.doctor.visit import Visit
from bridge.servicenow import handshake
from bridge.settings import Transport

CONNECT_SECONDS_MAX = 5.0
ADDRESSES_SHOWN = 4


def name(visit: Visit, _part: str) -> Finding:
    if visit.instance.transport.proxy is not None:
        return not_tested("The proxy of transport.proxy resolves it.")
    try:
        found = socket.getaddrinfo(visit.host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        said = f"{visit.host} cannot be resolved: {error.strerror or error}."
        return wrong(said, *causes_of(visit.seen("dns_failed")))
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    more = len(addresses) - ADDRESSES_SHOWN
    shown = ", ".join(addresses[:ADDRESSES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return ok(f"{visit.host} is {shown}.")


def tls(visit: Visit, _part: str) -> Finding:
    if visit.instance.transport.proxy is not None:
        return not_tested("The connection goes through the proxy of transport.proxy: the next step uses it.")
    url = urlsplit(visit.instance.url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    place = f"{visit.host} port {port}"
    try:
        connected = socket.create_connection((visit.host, port), timeout=CONNECT_SECONDS_MAX)
    except OSError as error:
        code = "connect_refused" if isinstance(error, ConnectionRefusedError) else "connect_failed"
        return wrong(f"{place} takes no connection: {error.strerror or error}.", *causes_of(visit.seen(code)))
    with connected:
        if not secure:
            return not_tested("Plain HTTP, which a loopback address alone may use: the connection stands.")
        return _handshake(visit, connected, place)


def _handshake(visit: Visit, connected: socket.socket, place: str) -> Finding:
    try:
        with _context(visit.instance.transport).wrap_socket(connected, server_hostname=visit.host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except OSError as error:  # SSLError is one
        code, reason = handshake.why(error)
        causes = causes_of(visit.seen(code, f"{reason}."))
        if isinstance(error, ssl.SSLCertVerificationError):
            return wrong(f"{place} shows a certificate that is not trusted: {reason}.", *causes)
        return wrong(f"The TLS handshake with {place} failed: {reason}.", *causes)
    return ok(f"{version}; the certificate is by {_issuer(certificate)}, until {certificate.get('notAfter')}.")


def _context(transport: Transport) -> ssl.SSLContext:
    """What the client trusts and shows. Raises OSError when a file cannot be used, SSLError among them."""
    context = ssl.create_default_context(cafile=transport.ca or adapters.DEFAULT_CA_BUNDLE_PATH)
    if transport.client_cert is not None:
        # A key with a password would be asked for on the terminal.
        context.load_cert_chain(transport.client_cert, transport.client_key, password="")
    return context


def _issuer(certificate: Mapping[str, Any]) -> str:
    parts: Iterable[tuple[tuple[str, str], ...]] = certificate.get("issuer", ())
    names = (value for part in parts for key, value in part if key == "commonName")
    return next(names, "an unnamed issuer")

"""Verifiers that go by where a request comes from: from this machine, or from a proxy that asked for a certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from bridge.sources.auth.verifier import matches, octets, refusal

# A browser says where a request comes from; a proxy whom it passes one on for. A command line tool says neither.
BROWSER_HEADERS = frozenset({"origin", "sec-fetch-site"})
FORWARDING_HEADERS = frozenset({"forwarded", "via", "cf-ray", "x-amzn-trace-id"})
FORWARDING_PREFIXES = ("x-forwarded-", "x-original-", "x-envoy-", "x-appengine-", "x-azure-")
FORWARDING_SUFFIXES = ("real-ip", "client-ip", "connecting-ip", "clientip", "user-ip")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class LoopbackOnly:
    """Scheme `none`: a try-out on this machine, by hand. Neither a proxy nor a page in a browser is that."""

    needs_body: ClassVar[bool] = False

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        here = _is_loopback(remote) and _names_loopback(headers.get("host", ""))
        if not here or any(map(_tells_of_somebody_else, headers.keys())):
            raise refusal()


@dataclass(frozen=True, slots=True)
class ProxiedCertificate:
    """Scheme `mtls`: a proxy of ours has verified the client's certificate, and says whose it is.

    It must set the header itself, on every request, or a client could write it. Two such headers reach us as one value
    with a comma, which is none of ours.
    """

    needs_body: ClassVar[bool] = False

    header: str
    proxies: tuple[Network, ...]
    subjects: tuple[bytes, ...]

    @classmethod
    def of(cls, header: str, proxies: tuple[str, ...], subjects: tuple[str, ...]) -> ProxiedCertificate:
        networks = tuple([ipaddress.ip_network(proxy) for proxy in proxies])
        return cls(header, networks, tuple([subject.encode() for subject in subjects]))

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        address = _address(remote)
        is_proxy = address is not None and any(address in network for network in self.proxies)
        if not matches(octets(headers.get(self.header, "")), self.subjects) or not is_proxy:
            raise refusal()


def forwarded_for(verifier: object, headers: Mapping[str, str]) -> str:
    """Of a request that a proxy of ours has passed on: the nearest address that is not one of them. "": none was, or it
    does not say. Each proxy adds its own peer at the end, so what stands before that may be anybody's invention.
    """
    if not isinstance(verifier, ProxiedCertificate):
        return ""
    for text in reversed(headers.get("X-Forwarded-For", "").split(",")):
        address = _address(text.strip())
        if address is None:
            return ""
        if not any(address in network for network in verifier.proxies):
            return str(address)
    return ""


@dataclass(frozen=True, slots=True)
class UnknownSource:
    """Stands in for a source that is not configured: the work of a comparison, and always the same refusal."""

    needs_body: ClassVar[bool] = False

    def verify(self, headers: Mapping[str, str], body: bytes, *, remote: str, query: str, now: datetime) -> None:  # noqa: ARG002
        matches(octets(headers.get("authorization", "")), [b"unknown"])
        raise refusal()


def _address(remote: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address  # an IPv6 socket takes IPv4 as well


def _is_loopback(remote: str) -> bool:
    address = _address(remote)
    return address is not None and address.is_loopback


def _names_loopback(host: str) -> bool:
    """Whether a Host header means this machine by name or number: a page whose name was bent to 127.0.0.1 does not."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _tells_of_somebody_else(name: str) -> bool:
    name = name.lower()
    if name in BROWSER_HEADERS or name in FORWARDING_HEADERS:
        return True
    return name.startswith(FORWARDING_PREFIXES) or name.endswith(FORWARDING_SUFFIXES)

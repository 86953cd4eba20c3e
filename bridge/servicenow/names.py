"""Whether the hosts of instances exist, as far as this machine's resolver can be believed.

A resolver tells "there is no such name" from "I cannot say now". The first is a mistake in bridge.yaml, unless a
resolver says it of every name, as some do that see no outside: then nothing is known. The second passes, and intake
must not wait for it.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from enum import StrEnum
from urllib.parse import urlsplit

from bridge.errors import Problem
from bridge.settings import Instance, Settings
from bridge.settings.secrets import places

RESOLVE_SECONDS_MAX = 3.0  # of a start or a check; a resolver that is down takes longer to say so
WITNESS = "www.servicenow.com"  # there is such a host: a resolver that does not know it sees no outside
NEVER = ".invalid"  # RFC 6761, 6.4: no such name will ever exist
ABSENT = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
HINT = (
    "compare it with the address that a browser shows in the instance; where only a proxy knows outside names, "
    "set transport.proxy"
)

Resolve = Callable[[str], object]  # raises OSError, socket.gaierror among them, where a host has no address


class Known(StrEnum):
    THERE = "there"
    ABSENT = "absent"  # the resolver says that there is no such name
    UNKNOWN = "unknown"  # it says nothing


def look_up(settings: Settings, resolve: Resolve) -> tuple[list[Problem], list[str]]:
    """Hosts that certainly do not exist, with their places; and a sentence on each that cannot be resolved now."""
    hosts = {name: host for name, one in settings.instances.items() if (host := _host_to_resolve(one))}
    if not hosts:
        return [], []
    found = _ask({*hosts.values()}, resolve)
    if Known.ABSENT in found.values() and Known.THERE not in found.values():
        found |= _ask({WITNESS}, resolve)
    sees = Known.THERE in found.values()
    problems, warnings = [], []
    for name, host in hosts.items():
        if found[host] is Known.THERE:
            continue
        if host.endswith(NEVER) or (found[host] is Known.ABSENT and sees):
            path = ("instances", name, "url")
            problems.append(places(settings.file).problem(path, f"there is no host {host}: DNS does not know it", HINT))
        else:
            warnings.append(
                f"instances.{name}.url: {host} cannot be resolved now, and whether it exists is not known. Alerts are "
                "taken in, and wait until it can be"
            )
    return problems, warnings


def _host_to_resolve(instance: Instance) -> str:
    """ "" where there is nothing for this machine to resolve: an address, this machine itself, or a proxy does it."""
    host = urlsplit(instance.url).hostname or ""
    if instance.transport.proxy is not None or host == "localhost":
        return ""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return ""
    return host


def _ask(hosts: Collection[str], resolve: Resolve) -> dict[str, Known]:
    """All at once. What has not answered in time is unknown; its thread ends by itself, or with the process."""
    found: dict[str, Known] = {}

    def ask(host: str) -> None:
        try:
            resolve(host)
        except socket.gaierror as error:
            found[host] = Known.ABSENT if error.errno in ABSENT else Known.UNKNOWN
        except OSError:
            found[host] = Known.UNKNOWN
        else:
            found[host] = Known.THERE

    threads = [threading.Thread(target=ask, args=(host,), name=f"resolve {host}", daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    until = time.monotonic() + RESOLVE_SECONDS_MAX
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {host: found.get(host, Known.UNKNOWN) for host in hosts}

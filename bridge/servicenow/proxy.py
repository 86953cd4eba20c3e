"""The proxy of an instance, as its secret is now. One that cannot be used, as half a file, leaves the last in place."""

from __future__ import annotations

import logging

from bridge.settings import Secret
from bridge.settings.secrets import proxy_url

_log = logging.getLogger(__name__)


class Proxy:
    """Thread-safe: each reading is whole, and the last one stands."""

    def __init__(self, named: Secret | str) -> None:
        """Raises KeyError, OSError or ValueError when the secret cannot be used now."""
        self._named = named
        self._known = self._read()

    def url(self) -> str:
        """For the next request. With its password in it: never to be shown."""
        try:
            self._known = self._read()
        except (KeyError, OSError, ValueError):
            _log.warning("the secret of transport.proxy cannot be used as it is now: the proxy in use stays so")
        return self._known

    def changed(self) -> bool:
        """Whether it is another than that of the last request."""
        try:
            return self._read() != self._known
        except (KeyError, OSError, ValueError):
            return False

    def _read(self) -> str:
        return proxy_url(self._named) if isinstance(self._named, Secret) else self._named

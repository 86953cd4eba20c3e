"""A bridge's door for the tests of the ways in: sources as bridge.yaml has them, served over a real socket."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from intake_world import library_of, running_writer
from signing import CERTIFICATE_URL, GOOGLE_KEYS, KEY, NOW, Stub, certificate, jwks
from sqlalchemy import select
from werkzeug.serving import make_server

from bridge.doors import doors_of
from bridge.metrics import Metrics
from bridge.settings import load_settings
from bridge.store.callers import Callers
from bridge.store.engine import Store
from bridge.store.tables import alerts, deliveries
from bridge.web.app import create_app
from bridge.web.hooks import hooks

# Of the alerts that come out of an envelope: one, a list, or below `alerts`; `rule` names the problem.
PROBE = """
mapping: probe
version: 1
owner: tests@corp.example
each: {in: ".alerts[] ?? .[]"}
correlation: {id: "{{ .rule }}", display: Probe}
route: [{to: itsm}]
fields: {create: {short_description: "{{ .rule }}"}}
"""


@dataclass(frozen=True, kw_only=True)
class Door:
    """What a sender has before it."""

    url: str
    store: Store
    outside: Stub
    callers: Callers

    def post(
        self, body: bytes | str, headers: Mapping[str, str] | None = None, *, query: str = ""
    ) -> requests.Response:
        """Without any header that the sender did not set."""
        return self.ask("POST", body, headers, query=query)

    def ask(
        self, method: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None, *, query: str = ""
    ) -> requests.Response:
        data = body.encode() if isinstance(body, str) else body
        url = f"{self.url}/hooks/s" + (f"?{query}" if query else "")
        return requests.request(method, url, data=data, headers=dict(headers or {}), timeout=20, allow_redirects=False)

    def ids(self) -> list[str | None]:
        """The correlation IDs of all alerts stored; None: it is in quarantine."""
        with self.store.reading() as tx:
            query = select(alerts.c.correlation_id).order_by(alerts.c.delivery_id, alerts.c.position)
            return list(tx.execute(query).scalars())

    def kept(self) -> list[Any]:
        with self.store.reading() as tx:
            return list(tx.execute(select(deliveries).order_by(deliveries.c.id)))


@contextlib.contextmanager
def open_door(
    store: Store, folder: Path, source: str, *, now: datetime = NOW, app: Callable[[Any], Any] = lambda app: app
) -> Iterator[Door]:
    """One source `s`; its secrets are in the variables S and S_OLD."""
    file = folder / "bridge.yaml"
    file.write_text(f"sources: {{s: {{mapping: probe, {source}}}}}", encoding="utf-8")
    outside = Stub({CERTIFICATE_URL: certificate(), GOOGLE_KEYS: jwks(k1=KEY)})
    with running_writer(store) as writer:
        sources = doors_of(load_settings(file), outside)
        library = library_of(store, PROBE)
        callers = Callers(store, sources)
        blueprint = hooks(
            sources=sources,
            library=library,
            writer=writer,
            metrics=Metrics(),
            clock=lambda: now,
            callers=callers,
            outside=outside,
        )
        server = make_server("127.0.0.1", 0, app(create_app(blueprint)), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Door(url=f"http://127.0.0.1:{server.server_port}", store=store, outside=outside, callers=callers)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

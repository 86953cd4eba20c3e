"""One ServiceNow instance over HTTPS: a request goes out once, before its deadline, and comes back as one outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from bridge.errors import Ambiguous, BridgeError, Misconfigured, Permanent, Transient
from bridge.servicenow import outcome
from bridge.servicenow.auth import credentials
from bridge.servicenow.connection import Call, Session, deadline_passed
from bridge.servicenow.limits import Gate
from bridge.servicenow.outcome import Answer, Raw
from bridge.settings import Instance

ANSWER_BYTES_MAX = 4 << 20
CONNECT_SECONDS_MAX = 5.0  # for each address that the name has; the deadline is checked again before anything is sent
CHUNK_BYTES = 64 << 10

# What `on_call` is told: the outcomes of a call; a read that worked is not "applied".
WORD_OF: dict[type[BridgeError], str] = {Transient: "not_applied", Permanent: "permanent", Ambiguous: "ambiguous"}


def _uncounted(_outcome: str, _seconds: float) -> None:
    pass


class Client:
    """Thread-safe. Deadlines are readings of `monotonic`. A call returns the result of a 2xx, or raises its outcome."""

    def __init__(
        self,
        instance: Instance,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_call: Callable[[str, float], None] = _uncounted,
    ) -> None:
        self.url = instance.url
        self._host = urlsplit(instance.url).netloc.rpartition("@")[2]  # as messages name it: never with credentials
        self._instance = instance
        self.monotonic = monotonic
        self._on_call = on_call
        self._auth = credentials(instance)
        self._gate = Gate(instance.limits, monotonic=monotonic)
        self._session = Session(connections=instance.limits.concurrent_calls)

    def close(self) -> None:
        self._session.close()

    def read(self, table: str, path: str, query: Mapping[str, str], *, deadline: float) -> Answer | None:
        """GET. None when ServiceNow says that it has no such record. Whatever is unclear is Transient."""
        try:
            return self._call("GET", table, path, query, None, deadline=deadline)
        except Permanent as error:
            if error.code == "record_gone":
                return None
            raise

    def write(
        self,
        method: str,
        table: str,
        path: str,
        query: Mapping[str, str],
        fields: Mapping[str, str],
        *,
        deadline: float,
    ) -> Answer:
        """POST or PATCH, once. Ambiguous from the first byte on unless the answer is clear."""
        return self._call(method, table, path, query, msgspec.json.encode(dict(fields)), deadline=deadline)

    def upload(self, table: str, path: str, query: Mapping[str, str], document: bytes, *, deadline: float) -> Answer:
        """POST bytes that are JSON as they stand. Otherwise as `write`."""
        return self._call("POST", table, path, query, document, deadline=deadline)

    def _call(
        self, method: str, table: str, path: str, query: Mapping[str, str], body: bytes | None, *, deadline: float
    ) -> Answer:
        with self._gate.call(deadline):
            begin = self.monotonic()
            word = "ambiguous"
            try:
                answer = self._send(method, table, path, query, body, deadline=deadline)
                word = "read" if body is None else "applied"
            except BridgeError as error:
                word = "read" if body is None and error.code == "record_gone" else WORD_OF[type(error)]
                if error.code == "unauthenticated":
                    self._read_secrets_again()
                raise
            finally:
                self._on_call(word, self.monotonic() - begin)
        return answer

    def _send(
        self, method: str, table: str, path: str, query: Mapping[str, str], body: bytes | None, *, deadline: float
    ) -> Answer:
        writes = body is not None
        request = self._request(method, path, query, body)
        with Call(deadline=deadline, monotonic=self.monotonic) as call:
            remaining = call.remaining
            if remaining <= 0.0:
                raise deadline_passed()
            try:
                raw = self._exchange(request, (min(remaining, CONNECT_SECONDS_MAX), remaining))
            except (requests.RequestException, HTTPError, OSError) as error:
                raise outcome.of_failure(error, call, host=self._host, writes=writes) from error
            if call.expired:  # an answer that the watchdog cut short can look like a whole one
                raise outcome.unsure("timed_out", outcome.TIMED_OUT, writes=writes)
        return outcome.meaning_of(raw, table=table, writes=writes)

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None
    ) -> requests.PreparedRequest:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "incident-bridge"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self.url}{path}?{urlencode(query, quote_via=quote)}"
        return requests.Request(method, url, headers=headers | self._auth.headers(), data=body).prepare()

    def _exchange(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> Raw:
        response = self._session.send(request, stream=True, timeout=timeout)
        try:
            return Raw(status=response.status_code, headers=response.headers, body=_read_bounded(response))
        finally:
            response.close()  # a connection whose answer was read whole is back in the pool already

    def _read_secrets_again(self) -> None:
        """A changed password then works without a restart. One that cannot be read leaves the old one in place."""
        try:
            self._auth = credentials(self._instance)
        except Misconfigured:
            return


def _read_bounded(response: requests.Response) -> bytes | None:
    chunks, size = [], 0
    while chunk := response.raw.read(CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)

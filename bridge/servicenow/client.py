"""One ServiceNow instance over HTTPS: a request goes out once, before its deadline, and comes back as one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from bridge.crashpoint import crashpoint
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow import outcome, token
from bridge.servicenow.access import Access
from bridge.servicenow.auth import Grant, Header, credentials, secrets_in
from bridge.servicenow.breaker import HELD, REACH, Breaker, State
from bridge.servicenow.connection import Call, Session, deadline_passed
from bridge.servicenow.limits import Alone, Gate, Share, api_of
from bridge.servicenow.outcome import Answer, Raw
from bridge.servicenow.token import Token
from bridge.settings import Instance

ANSWER_BYTES_MAX = 4 << 20
CONNECT_SECONDS_MAX = 5.0  # for each address that the name has; the deadline is checked again before anything is sent
CHUNK_BYTES = 64 << 10
TABLE_PATH = "/api/now/v2/table"
NO_FORM: Mapping[str, str] = MappingProxyType({})

# What `on_call` is told: the outcomes of a call; a read that worked is not "applied".
WORD_OF: dict[type[BridgeError], str] = {Transient: "not_applied", Permanent: "permanent", Ambiguous: "ambiguous"}


Attempt = Callable[[Mapping[str, str]], Answer]  # one request with these headers
Meaning = Callable[..., Answer]  # (raw, *, table, writes): the result of an answer, or raises its outcome


def _uncounted(_outcome: str, _seconds: float) -> None:
    pass


def _unseen(_raw: Raw) -> None:
    pass


class Client:
    """Thread-safe. Deadlines are readings of `monotonic`. A call returns the result of a 2xx, or raises its outcome.

    `clock` is the wall clock, aware UTC: assertions carry it. `share`: what other processes leave of the instance's
    limits; None where this one calls it alone. `known_by`: in place of the instance's own `auth`.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        on_call: Callable[[str, float], None] = _uncounted,
        on_answer: Callable[[Raw], None] = _unseen,
        share: Share | None = None,
        known_by: Callable[[], Header | Grant] | None = None,
    ) -> None:
        self.url = instance.url
        self.enrichment_path = instance.enrichment_path
        self._host = urlsplit(instance.url).netloc.rpartition("@")[2]  # as messages name it: never with credentials
        self._clock = clock
        self.monotonic = monotonic
        self.told_time: datetime | None = None  # of the instance's own clock, by its last answer with a Date
        self._on_call = on_call
        self._on_answer = on_answer
        self._access = Access(known_by or (lambda: credentials(instance)), self._fetch_token, monotonic=monotonic)
        self.breaker = Breaker(self._host, monotonic=monotonic)
        self._is_beside = False
        self._breakers_apart: dict[tuple[str, str], Breaker] = {}  # (API, table); mappings name a handful
        self._gate = Gate(instance.limits, share or Alone(instance.limits, monotonic=monotonic), monotonic=monotonic)
        self._session = Session(connections=instance.limits.concurrent_calls, transport=instance.transport)

    def beside(self) -> Client:
        """The same, for what goes beside incidents: a table that fails there is left alone, and not the instance."""
        other = copy(self)
        other._is_beside = True
        return other

    @property
    def held(self) -> bool:
        """Whether a call would be turned away now because the instance is left alone."""
        return self.breaker.held and not self._secrets_changed()

    @property
    def waits(self) -> bool:
        """Whether a call waits for those of other processes to end."""
        return self._gate.waits

    @property
    def mended(self) -> int:
        """A count that goes on whenever what waits because we were refused or turned away should be tried again.

        Cheap: the secrets are looked at only while one of them may be to blame.
        """
        self._forget_if_changed()
        return sum(breaker.mended for breaker in self._breakers())

    @property
    def problem(self) -> str:
        """What is left alone, and why, in sentences; empty when all is well."""
        problems = (breaker.problem for breaker in self._breakers())
        return " ".join(dict.fromkeys(problem for problem in problems if problem))  # of several tables it may be one

    @property
    def held_apart(self) -> dict[str, float]:
        """Of each API, or table, that is left alone by itself where it must be: as `HELD` has it."""
        breakers = self._breakers_apart.copy()
        return {_named(api, table): HELD[breaker.state] for (api, table), breaker in breakers.items()}

    def _breakers(self) -> list[Breaker]:
        return [self.breaker, *list(self._breakers_apart.values())]

    def _forget_if_changed(self) -> None:
        refused = [breaker for breaker in self._breakers() if breaker.refused or breaker.held]
        if refused and self._secrets_changed():
            for breaker in refused:
                breaker.forget()

    def _secrets_changed(self) -> bool:
        """Whether what was refused may be taken now, our credentials or the proxy's."""
        return self._access.changed() or (self._session.proxy is not None and self._session.proxy.changed())

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

    def upload(
        self,
        table: str,
        path: str,
        query: Mapping[str, str],
        document: bytes,
        *,
        deadline: float,
        meaning: Meaning = outcome.meaning_of,
    ) -> Answer:
        """POST bytes that are JSON as they stand, to an API whose answers `meaning` knows. Otherwise as `write`."""
        return self._call("POST", table, path, query, document, deadline=deadline, meaning=meaning)

    def _call(
        self,
        method: str,
        table: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        *,
        deadline: float,
        meaning: Meaning = outcome.meaning_of,
    ) -> Answer:
        def attempt(headers: Mapping[str, str]) -> Answer:
            request = self._request(method, path, query, body, headers)
            return self._counted(request, table, writes=body is not None, deadline=deadline, meaning=meaning)

        self._forget_if_changed()
        if self._is_beside or api_of(path) != api_of(TABLE_PATH):
            return self._call_apart(table, path, attempt, deadline)
        with self.breaker.call() as probe, self._gate.call(path, deadline):
            if probe and body is not None:  # the outcome of a write may stay open when the instance is only half there
                self._probe(table, deadline)
                self._gate.spend(path)
            return self._with_one_renewal(path, attempt, deadline)

    def _call_apart(self, table: str, path: str, attempt: Attempt, deadline: float) -> Answer:
        """With a breaker for this API and table: what fails here holds up no other target, and no read."""
        if self.breaker.state is not State.CLOSED:  # nothing else may be due that would try the instance again
            self._ask(table, deadline)
        key = api, _ = api_of(path), table
        spares = self._is_beside
        breaker = self._breakers_apart.setdefault(
            key, Breaker(self._host, monotonic=self.monotonic, api=_named(api, table), spares_incidents=spares)
        )
        with breaker.call():
            try:
                with self._gate.call(path, deadline):
                    return self._with_one_renewal(path, attempt, deadline)
            except Transient as error:
                if error.code in REACH:
                    self.breaker.noticed(error)
                explained = self._why_unauthenticated(error, _named(api, table), table, deadline)
                if explained is None:
                    raise
                raise explained from error

    def _why_unauthenticated(self, error: Transient, api: str, table: str, deadline: float) -> Transient | None:
        """Whose the refusal is: a key may be let into one API and not into another. A user who keeps trying with a
        wrong password gets locked out, so the instance must know of it at once."""
        if error.code != "unauthenticated":
            return None
        try:
            self._ask(table, deadline)
        except BridgeError as other:
            if other.code == error.code:
                self.breaker.noticed(error)
            return None
        text = (
            f"{api} answered 401, and the Table API takes the same credentials: let the API access policy, or the "
            f"key's scope, take {api} too."
        )
        return Transient(error.code, text)

    def _ask(self, table: str, deadline: float) -> None:
        """Whether the instance answers and takes our credentials: a read of its own, that its breaker counts."""
        with self.breaker.call(), self._gate.call(TABLE_PATH, deadline):
            self._probe(table, deadline)

    def _probe(self, table: str, deadline: float) -> None:
        path = f"{TABLE_PATH}/{quote(table, safe='')}"
        query = {"sysparm_fields": "sys_id", "sysparm_limit": "1"}

        def attempt(headers: Mapping[str, str]) -> Answer:
            request = self._request("GET", path, query, None, headers)
            return self._counted(request, table, writes=False, deadline=deadline)

        with suppress(Permanent):  # a refusal is an answer too
            self._with_one_renewal(path, attempt, deadline)

    def _with_one_renewal(self, path: str, attempt: Attempt, deadline: float) -> Answer:
        """A 401 says that nothing was done, so the same request may go out again, once."""
        headers = self._access.headers(deadline)
        try:
            return attempt(headers)
        except Transient as error:
            renewed = self._access.after_refusal(headers, deadline) if error.code == "unauthenticated" else None
            if renewed is None:
                raise
        self._gate.spend(path)
        return attempt(renewed)

    def _counted(
        self,
        request: requests.PreparedRequest,
        table: str,
        *,
        writes: bool,
        deadline: float,
        meaning: Meaning = outcome.meaning_of,
    ) -> Answer:
        begin = self.monotonic()
        word, status = "ambiguous", None
        try:
            raw = self._send(request, writes=writes, deadline=deadline)
            status = raw.status
            wait = outcome.retry_after(raw)
            self._gate.learn(
                request.path_url.partition("?")[0], raw.headers, limited=raw.status == 429, retry_after=wait
            )
            answer = meaning(raw, table=table, writes=writes)
            self.told_time = outcome.dated(raw) or self.told_time
            word = "applied" if writes else "read"
        except BridgeError as error:
            error.http_status = status
            word = "read" if not writes and error.code == "record_gone" else WORD_OF[type(error)]
            raise
        finally:
            self._on_call(word, self.monotonic() - begin)
        return replace(answer, status=status)

    def _fetch_token(self, grant: Grant, refresh: str | None, deadline: float) -> Token:
        """One request to the token endpoint, under the deadline of the call that needs it."""

        def post(form: Mapping[str, str]) -> Raw:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = self._request("POST", token.PATH, {}, urlencode(form).encode(), headers)
            return self._send(request, writes=False, deadline=deadline, form=form)

        self._gate.spend(token.PATH)
        begin = self.monotonic()
        word = "not_applied"
        try:
            fetched = token.fetch(grant, refresh, post=post, now=self._clock(), sent_at=begin)
            word = "token"
        finally:
            self._on_call(word, self.monotonic() - begin)
        return fetched

    def _send(
        self, request: requests.PreparedRequest, *, writes: bool, deadline: float, form: Mapping[str, str] = NO_FORM
    ) -> Raw:
        what = "token" if request.path_url == token.PATH else "write" if writes else "read"
        with Call(deadline=deadline, monotonic=self.monotonic) as call:
            remaining = call.remaining
            if remaining <= 0.0:
                raise deadline_passed()
            crashpoint(f"{what}:send")
            try:
                raw = self._exchange(request, (min(remaining, CONNECT_SECONDS_MAX), remaining))
            except (requests.RequestException, HTTPError, OSError) as error:
                raise outcome.of_failure(error, call, host=self._host, writes=writes) from error
            path = request.path_url.partition("?")[0]
            raw = replace(raw, path=path, hidden=secrets_in(request.headers, form))
            crashpoint(f"{what}:answered")
            self._on_answer(raw)
            if call.expired:  # an answer that the watchdog cut short can look like a whole one
                raise outcome.unsure("timed_out", outcome.OPEN["timed_out"], writes=writes)
        return raw

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        shared = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "incident-bridge"}
        if body is not None:
            shared["Content-Type"] = "application/json"
        url = f"{self.url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        return requests.Request(method, url, headers=shared | dict(headers), data=body).prepare()

    def _exchange(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> Raw:
        response = self._session.send(request, stream=True, timeout=timeout)
        try:
            return Raw(status=response.status_code, headers=response.headers, body=_read_bounded(response))
        finally:
            response.close()  # a connection whose answer was read whole is back in the pool already


def _named(api: str, table: str) -> str:
    """An API for people; where tables share one, with the table."""
    return f"/{api}" + (f" ({table})" if api == api_of(TABLE_PATH) else "")


def _read_bounded(response: requests.Response) -> bytes | None:
    chunks, size = [], 0
    while chunk := response.raw.read(CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)

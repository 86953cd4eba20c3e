"""The one error map: what an answer, or the lack of one, means for the caller.

    not applied   Transient    no byte was sent, or ServiceNow turned us away before doing anything: 401, 429
    permanent     Permanent    the other 4xx: a person must look, and is told what to do
    ambiguous     Ambiguous    it may have been applied; for a read, which applies nothing, this is Transient too
    applied                    2xx with a `result`

Nothing of a request, and of an answer only ServiceNow's own error text, is put in a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec
import requests
from urllib3 import exceptions as urllib3

from bridge.alert import Json
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient
from bridge.servicenow import handshake
from bridge.servicenow.connection import Call, ProxyAsks, deadline_passed

SAID_CHARACTERS_MAX = 500
RETRY_AFTER_SECONDS_MAX = 3600.0  # limits count by the hour; a longer wait is a mistake or a trick


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]  # looked up without regard to case
    body: bytes | None  # None: longer than we read
    path: str = ""  # that was asked
    hidden: frozenset[str] = field(default=frozenset(), repr=False)  # secrets of the request: never told, if echoed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A 2xx with a result."""

    result: Json
    total: int | None  # X-Total-Count: matching rows, those hidden by an ACL too
    status: int | None = None  # HTTP's


REFUSED = (
    "The bridge does not know this refusal: show the instance's administrator what it said; the instance's own log, at "
    "System Logs > All, may say more."
)
# (status, what the error's text contains, code, what a person should do); the first match wins. "{table}" is filled in.
PERMANENT: tuple[tuple[int | None, str, str, str], ...] = (
    (404, "no record found", "record_gone", "The record was deleted, or an ACL hides it from the integration user."),
    (404, "", "wrong_url", "This address has no Table API: correct the instance's url."),
    (None, "rejected large rest payload", "payload_too_large", "Shorten the mapping's texts."),
    (400, "invalid table", "invalid_table", "The table {table} does not exist on this instance: correct the target."),
    (400, "does not represent any resource", "wrong_url", "This address has no Table API: correct the instance's url."),
    (403, "data policy exception", "data_policy", "Give the fields it names in the mapping or the target's defaults."),
    (403, "aborted by business rule", "business_rule", "Change the rule it names, or give it what it asks for."),
    (403, "acl exception", "acl", "Give the integration user the role to write {table}."),
    (403, "insufficient rights", "query_rights", "Let the integration user read {table} and every field of the query."),
    (403, "", "forbidden", "Ask the administrator which rule, ACL or gateway refuses the integration user on {table}."),
    (405, "", "method_refused", "A gateway or an API policy refuses this method: let it through."),
    (413, "", "payload_too_large", "Shorten the mapping's texts."),
    (414, "", "url_too_long", "A gateway refuses long addresses: raise its limit."),
    (None, "", "refused", REFUSED),
)
NO_SIR = "SIR is not installed: use itsm, a target of the table incident, or activate the plugin."
NO_THREAT_INTELLIGENCE = "Threat Intelligence is not installed: incidents go without observables."
MISSING_PLUGIN = {
    "sn_si_incident": NO_SIR,
    "sn_si_incident_import": NO_SIR,
    "sn_ti_observable": NO_THREAT_INTELLIGENCE,
    "sn_ti_observable_type": NO_THREAT_INTELLIGENCE,
    "sn_ti_m2m_task_observable": NO_THREAT_INTELLIGENCE,
}
# Why an outcome is open: code -> a sentence.
OPEN = {
    "answer_too_large": "The answer is longer than is read.",
    "hibernating": "The instance hibernates: wake it at developer.servicenow.com.",
    "redirected": "Redirects are not followed: give the instance's final url.",
    "server_error": "ServiceNow, or what stands before it, failed.",
    "html_answer": "A page came instead of an answer: a login page, or a gateway, or an instance that moves.",
    "timed_out": "ServiceNow did not answer in time, or a gateway gave up waiting for it.",
    "connection_lost": "The connection broke before the whole answer was read.",
    "accepted_only": "ServiceNow answered 202: taken, but not yet done.",
    "unreadable_answer": "The answer is not the Table API's.",
    "no_sys_id": "The answer named no record.",
    "foreign_answer": "The answer showed another record than was sent.",
    "unverified": "The import was applied, and its record could not be read.",
}
TOKENLESS = (
    "The token endpoint answered without a token that can be used: see that nothing between changes its answers, and "
    "that the instance's OAuth application gives tokens."
)
# 4xx that do not say that ServiceNow refused: (status, the body is HTML) -> why the outcome is open.
OPEN_4XX: dict[tuple[int, bool], str] = {
    (404, True): "html_answer",
    (408, True): "timed_out",
    (408, False): "timed_out",
}
SLEEPS = "developer.servicenow.com"  # where an instance that hibernates may redirect to
# Failures before the first byte of a request went out: nothing was applied.
NOT_SENT: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ProxyAsks,
        "proxy_unauthenticated",
        "The proxy of transport.proxy asks for credentials, or takes not these (407).",
    ),
    (
        urllib3.ProxyError,
        "proxy_failed",
        "The proxy of transport.proxy cannot be reached, or lets nothing through to it.",
    ),
    (urllib3.NameResolutionError, "dns_failed", "Its name cannot be resolved: check the instance's url and the DNS."),
    (
        urllib3.SSLError,
        "tls_failed",
        "The TLS handshake failed ({reason}): check the certificate, the clock and what stands "
        "in between; a certificate authority of your own is named by transport.ca.",
    ),
    (urllib3.NewConnectionError, "connect_failed", "It refuses connections or is not reachable: check the network."),
    (urllib3.ConnectTimeoutError, "connect_timed_out", "It does not take the connection: check the network."),
    (Exception, "connect_failed", "The connection broke before the request was sent."),
)


def meaning_of(raw: Raw, *, table: str, writes: bool) -> Answer:
    """The result of a 2xx; raises the outcome of anything else."""
    if raw.status == 401:
        raise Transient("unauthenticated", sentence(raw, _why_401(raw)))
    if raw.status == 429:
        raise Transient("rate_limited", sentence(raw, "Its rate limit is reached."), retry_after=retry_after(raw))
    if 400 <= raw.status < 500 and (raw.status, _is_html(raw)) not in OPEN_4XX:
        raise _permanent(raw, table)
    if raw.status in (200, 201) and raw.body is not None and not _is_html(raw):
        document = _json(raw.body)
        if isinstance(document, dict) and document.get("result") is not None:
            return Answer(result=document["result"], total=_total(raw))
    raise unsure(*_why_open(raw), writes=writes, retry_after=retry_after(raw))


def of_token(raw: Raw) -> None:
    """Nothing when the token endpoint's answer is one of OAuth's: a token, or a refusal that names its `error`.

    Raises Transient for all else: nothing is applied by it.
    """
    if raw.status == 429:
        raise Transient("rate_limited", sentence(raw, "Its rate limit is reached."), retry_after=retry_after(raw))
    document = _json(raw.body or b"")
    if isinstance(document, dict) and not _is_html(raw):
        error = document.get("error")
        if raw.status == 200 and error is None:
            return
        if 200 <= raw.status < 500 and not 300 <= raw.status < 400 and isinstance(error, str):
            return
    if 400 <= raw.status < 500 and not _is_html(raw):
        remedy = "Check the instance's url, and that its OAuth endpoint may be reached."
        raise Transient("token_refused", sentence(raw, remedy))
    code, why = _why_open(raw)
    if code == "unreadable_answer":
        code, why = "no_token", TOKENLESS
    raise unsure(code, why, writes=False, retry_after=retry_after(raw))


def of_failure(error: Exception, call: Call, *, host: str, writes: bool) -> BridgeError:
    """The outcome of a call to `host` that got no whole answer."""
    if not call.sent:
        return deadline_passed() if call.expired else _not_sent(error, host)
    if call.expired or isinstance(error, requests.Timeout):
        return unsure("timed_out", OPEN["timed_out"], writes=writes)
    return unsure("connection_lost", OPEN["connection_lost"], writes=writes)


def unsure(code: str, message: str, *, writes: bool, retry_after: float | None = None) -> BridgeError:
    """A write whose outcome is open must be looked up; a read has changed nothing and is simply tried again."""
    return Ambiguous(code, message) if writes else Transient(code, message, retry_after=retry_after)


def _not_sent(error: Exception, host: str) -> Transient:
    cause: object = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    for kind, code, remedy in NOT_SENT:
        if isinstance(cause, kind):
            remedy = remedy.replace("{reason}", handshake.why(error)[1])  # noqa: PLW2901
            return Transient(code, f"ServiceNow at {host} was not reached. {remedy}")
    return Transient("connect_failed", f"ServiceNow at {host} was not reached.")


def _why_401(raw: Raw) -> str:
    if "X-MFA_TOKEN" in raw.headers:
        return "Multi-factor authentication is asked of the integration user: exempt it, or use another scheme."
    return "Correct the credentials of the instance's auth, or activate its user or key."


def _permanent(raw: Raw, table: str) -> Permanent:
    said = _words(raw).lower()  # with what looks like a secret of ours: it decides, and is not told
    for status, contains, code, remedy in PERMANENT:
        if status in (raw.status, None) and contains in said:
            if code == "invalid_table":
                remedy = MISSING_PLUGIN.get(table, remedy)  # noqa: PLW2901 (the plugin's name helps more)
            return Permanent(code, sentence(raw, remedy.replace("{table}", table)))
    raise AssertionError("the last row matches everything")


def _why_open(raw: Raw) -> tuple[str, str]:
    code = _open_code(raw)
    if code in ("answer_too_large", "hibernating", "accepted_only"):
        return code, OPEN[code]
    return code, sentence(raw, OPEN[code])


def _open_code(raw: Raw) -> str:
    if raw.body is None:
        return "answer_too_large"
    if b"Instance Hibernating page" in raw.body:
        return "hibernating"
    if 300 <= raw.status < 400:
        return "hibernating" if urlsplit(raw.headers.get("Location", "")).hostname == SLEEPS else "redirected"
    if raw.status >= 500:
        return "server_error"
    if (open_4xx := OPEN_4XX.get((raw.status, _is_html(raw)))) is not None:
        return open_4xx
    if _is_html(raw):
        return "html_answer"
    return "accepted_only" if raw.status == 202 else "unreadable_answer"


def sentence(raw: Raw, remedy: str) -> str:
    """What came, what to do about it, and what ServiceNow said of it."""
    said = _said(raw)
    return f"ServiceNow answered {raw.status}. {remedy}" + (f" It said: {said}" if said else "")


def _said(raw: Raw) -> str:
    """ServiceNow's own error text, bounded, in one line."""
    return told(raw, _words(raw))


def _words(raw: Raw) -> str:
    """ServiceNow's own error text as it came. The OAuth endpoint writes `error` as a text."""
    document = _json(raw.body or b"")
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        parts = (error.get("message"), error.get("detail"))
    elif isinstance(error, str):
        parts = (error, document.get("error_description"))
    else:
        return ""
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def told(raw: Raw, text: str) -> str:
    """What the answer says in words, for people: without the secrets of its request, bounded, in one line."""
    for secret in sorted(raw.hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:SAID_CHARACTERS_MAX]


def _json(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def document_of(raw: Raw) -> Json:
    """The body as JSON; None for what is none."""
    return None if raw.body is None or _is_html(raw) else _json(raw.body)


def _is_html(raw: Raw) -> bool:
    return "html" in raw.headers.get("Content-Type", "").lower() or (raw.body or b"").lstrip()[:1] == b"<"


def _total(raw: Raw) -> int | None:
    text = raw.headers.get("X-Total-Count", "")
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def dated(raw: Raw) -> datetime | None:
    """When the answer was given, by its own Date. None: it has none, or one without a zone."""
    try:
        told = parsedate_to_datetime(raw.headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return told if told.tzinfo is not None else None


def retry_after(raw: Raw) -> float | None:
    """Seconds. A date is taken relative to the answer's own Date: no clock of ours comes into it."""
    text = raw.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        until, sent = parsedate_to_datetime(text), parsedate_to_datetime(raw.headers.get("Date", ""))
        return min(max(0.0, (until - sent).total_seconds()), RETRY_AFTER_SECONDS_MAX)
    except (ValueError, TypeError):
        return None

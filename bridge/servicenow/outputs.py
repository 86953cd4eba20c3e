"""What goes beside an incident: events (Event Management) and enrichment (SecOps Integration Capabilities).

Events: POST /api/global/em/jsonv2 with `{"records": [event]}` [KIBANA]. Enrichment: POST to a path that ServiceNow
publishes nowhere, so it is configuration. By default its answer is not wrapped in `result` [OFFICIAL]. Its three
parameters are sent in the query: whether they belong there or into the body is told nowhere [UNVERIFIED].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from bridge.alert import Json
from bridge.errors import BridgeError, Permanent, Transient
from bridge.mapping.outputs import MARK
from bridge.mapping.rendered import RenderedOutput
from bridge.servicenow import outcome
from bridge.servicenow.client import Client
from bridge.servicenow.lookup import can_be_asked, same
from bridge.servicenow.outcome import Answer, Raw
from bridge.servicenow.table import TableApi

EVENTS_PATH = "/api/global/em/jsonv2"
EVENTS = "em_event"
TABLES = {  # [OFFICIAL]; "enrichment_mapping_id" leads to another, which the data map names
    "ci_enrichment": "sn_sec_cmn_ci_enrichment_result",
    "observable_enrichment": "sn_ti_observable_enrichment_result",
    "threat_lookup": "sn_ti_lookup_result",
}
SERVICE = "SecOps Integration Capabilities"
NOT_PUBLISHED = (
    f"ServiceNow does not publish the path of {SERVICE}: its administrator finds it under System Web Services > "
    "Scripted REST APIs"
)
WORDS = re.compile(rb"[ \t]*[A-Za-z]")  # the beginning of a body that is a text, and no JSON or page
ERROR_KEY = re.compile(r"^(result|response|data)$|error|message|detail|reason", re.IGNORECASE)
EVENTS_LOOKED_AT = 50  # newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One of the errors that the service documents [OFFICIAL: message and cause; the rest is ours]."""

    code: str
    remedy: str
    passes: bool = False  # the next try may work


# By the beginning of the message, in lower case: HTTP codes and envelope of these are not documented.
FAILURES = {
    "insufficient access": Failure(
        code="insufficient_access", remedy="Give the integration user the role sn_sec_cmn.api_write."
    ),
    "invalid post body": Failure(
        code="invalid_post_body", remedy="Compare the output's `fields` with the service's documentation."
    ),
    "no fields supplied": Failure(
        code="no_fields", remedy="None of the output's `fields` is a column of the result's table: correct their names."
    ),
    "mandatory fields missing": Failure(
        code="mandatory_missing", remedy="Give them in the output's `fields`, or say `ignore_mandatory_fields: true`."
    ),
    "unable to persist record": Failure(
        code="not_persisted", remedy="The record was not inserted: a rule of its table may refuse it.", passes=True
    ),
    "unknown error": Failure(
        code="unknown_error",
        remedy="The service does not say what is wrong; the instance's system log may. Where a data map is named, see "
        "that it is there, active, and reads this raw_data.",
        passes=True,
    ),
}


def send_event(client: Client, fields: dict[str, str], mark: str, *, deadline: float) -> None:
    """Raises as a write does. `mark` is what `has_event` finds it by."""
    info = msgspec.json.decode(fields.get("additional_info", "{}"))
    event = fields | {"additional_info": msgspec.json.encode({**info, MARK: mark}).decode()}
    document = msgspec.json.encode({"records": [event]})
    client.upload(EVENTS, EVENTS_PATH, {}, document, deadline=deadline, meaning=event_meaning)


def has_event(api: TableApi, fields: dict[str, str], mark: str, *, deadline: float) -> bool:
    """Whether the event is there. False also where nobody may look: a second one with its key is of the same alert."""
    key, source = fields["message_key"], fields["source"]
    if not can_be_asked("message_key", key) or not can_be_asked("source", source):
        return False
    query = f"message_key={key}^source={source}^ORDERBYDESCsys_created_on"
    columns = ("message_key", "source", "additional_info")
    try:
        rows = api.rows(EVENTS, query, columns, EVENTS_LOOKED_AT, deadline)
    except Permanent:
        return False
    return any(
        same(row.get("message_key", ""), key) and mark in row.get("additional_info", "").split('"') for row in rows
    )


def send_enrichment(client: Client, output: RenderedOutput, *, deadline: float) -> str | None:
    """The sys_id of what was made of it, where the answer tells. Raises as a write does."""
    path = client.enrichment_path(output.kind)
    if path is None:
        message = f"The instance has no `enrichment_path` for {output.kind} in bridge.yaml. {NOT_PUBLISHED}."
        raise Permanent("no_enrichment_path", message)
    query = dict.fromkeys(output.flags, "true")
    document = msgspec.json.encode(output.fields)
    meaning = _enrichment_meaning(path)
    answer = client.upload(TABLES[output.kind], path, query, document, deadline=deadline, meaning=meaning)
    return _sys_id(answer.result)


def event_meaning(raw: Raw, *, table: str, writes: bool) -> Answer:
    """As the Table API's, in the words of Event Management. Its answer counts what it has inserted [KIBANA]."""
    try:
        answer = outcome.meaning_of(raw, table=table, writes=writes)
    except Permanent as error:
        remedies = {
            "wrong_url": f"There is no {EVENTS_PATH}: Event Management (ITOM) is not installed.",
            "forbidden": "Give the integration user the role evt_mgmt_integration.",
        }
        raise _reworded(error, raw, remedies) from error
    counts = answer.result.values() if isinstance(answer.result, dict) else ()
    if any(isinstance(count, str) and count.startswith("0 events") for count in counts):
        text = "Event Management inserted none of what was sent: see its own log of rejected events."
        raise Permanent("event_not_taken", text)
    return answer


def _enrichment_meaning(path: str) -> Callable[..., Answer]:
    def meaning(raw: Raw, *, table: str, writes: bool) -> Answer:
        return enrichment_meaning(raw, table=table, writes=writes, path=path)

    return meaning


def enrichment_meaning(raw: Raw, *, table: str, writes: bool, path: str) -> Answer:
    """The result of an answer, in `result` or not; raises the outcome of anything else.

    A documented message decides, whatever the status and the envelope. Four of the six say what is wrong with the
    request or the user, which no second try cures: Permanent. "Unable to persist record" is GlideRecord's insert()
    having failed, which may be a rule or a passing trouble, and "Unknown error" may be anything: Transient, and the
    caller tries a few times. Neither of these two says anything of the instance, and after "Unknown error" the record
    may be there and come a second time: nothing tells, and outputs are outside of the exactly-one promise.
    """
    document = _said(raw)
    for message in _messages(document):
        said = " ".join(message.split())
        for begin, failure in FAILURES.items():
            if said.lower().startswith(begin):
                text = f"{SERVICE} answered {raw.status}: {outcome.told(raw, said)}. {failure.remedy}"
                raise Transient(failure.code, text) if failure.passes else Permanent(failure.code, text)
    if raw.status in (200, 201) and document is not None and not _failed(document):
        wrapped = isinstance(document, dict) and document.get("result") is not None
        return Answer(result=document["result"] if wrapped else document, total=None)
    if raw.status in (200, 201) and _failed(document):
        text = f"{SERVICE} answered {raw.status} and that it failed, in words that are not documented."
        raise Transient("unknown_error", text)
    try:
        return outcome.meaning_of(raw, table=table, writes=writes)
    except Permanent as error:
        remedies = {
            "wrong_url": f"There is nothing at {path}: correct the instance's `enrichment_path`. {NOT_PUBLISHED}.",
            "method_refused": f"{path} takes no POST: correct the instance's `enrichment_path`. {NOT_PUBLISHED}.",
            "forbidden": "Give the integration user the role sn_sec_cmn.api_write.",
        }
        raise _reworded(error, raw, remedies) from error


def _reworded(error: BridgeError, raw: Raw, remedies: dict[str, str]) -> BridgeError:
    """The same refusal, with the remedy that fits this API."""
    if error.code not in remedies:
        return error
    code = "wrong_path" if error.code in ("wrong_url", "method_refused") else error.code
    return Permanent(code, outcome.sentence(raw, remedies[error.code]))


def _said(raw: Raw) -> Json:
    """The body as JSON, or as the words that it is; None for a page, for nothing, and for JSON that breaks off."""
    document = outcome.document_of(raw)
    if document is not None or raw.body is None or not WORDS.match(raw.body):
        return document
    return raw.body.decode(errors="replace")


def _messages(document: Json) -> Iterator[str]:
    """Every text that may be an error's; what a record holds may be anybody's words, and is not looked at.

    The envelope is not documented, so no one key is taken for the one that errors stand under.
    """
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for one in document:
            yield from _messages(one)
    elif isinstance(document, dict) and "sys_id" not in document:
        for key, value in document.items():
            if ERROR_KEY.search(key):
                yield from _messages(value)


def _failed(document: Json) -> bool:
    """An answer that says of itself that it did not work, whatever the status."""
    inner = document.get("result") if isinstance(document, dict) else None
    if document is False or inner is False:
        return True
    return any(
        level.get("success") in (False, "false") or bool(level.get("error")) or level.get("status") == "failure"
        for level in (document, inner)
        if isinstance(level, dict)
    )


def _sys_id(result: Json) -> str | None:
    levels = (result, result.get("record")) if isinstance(result, dict) else ()
    found = (level["sys_id"] for level in levels if isinstance(level, dict) and isinstance(level.get("sys_id"), str))
    return next(found, None)

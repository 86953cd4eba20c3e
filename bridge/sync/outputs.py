"""One output of a mapping, sent beside its incident: an addition, outside of the exactly-one promise.

An event is looked up by its key and our mark once its outcome is not known. Enrichment cannot be: its tables' columns
are published nowhere, so what may have been sent is sent again when its window is over, and may be there twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from bridge.alert import Json
from bridge.errors import Ambiguous, BridgeError, Permanent, Unmappable
from bridge.mapping.outputs import EVENT
from bridge.mapping.rendered import Facts, Find, RenderedOutput
from bridge.servicenow import outputs
from bridge.servicenow.table import TableApi
from bridge.store.additions import OUTPUT, Addition
from bridge.sync.alert import Alerts
from bridge.sync.fields import find_records
from bridge.typed import decode

TRIES_MAX = 6  # of what was sent: where the service itself says that it failed, within a minute
PASSES = frozenset(failure.code for failure in outputs.FAILURES.values() if failure.passes)


def was_sent(error: BridgeError) -> bool:
    """Whether a try that ended so was one: its answer was lost or is not clear, or the service says that it failed."""
    return isinstance(error, Ambiguous) or error.code in PASSES


def tried_enough(error: BridgeError, tries: int) -> Permanent:
    """Why it is sent no more: each further one may be there a further time."""
    known = " and may be there more than once" if isinstance(error, Ambiguous) else ""
    return Permanent(error.code, f"{error.message} It was sent {tries} times{known}.")


def sending_of(held: Addition, *, api: TableApi, table: str, alerts: Alerts) -> Sending:
    """Worded by the revision that planned it, with the facts of then and the incident of now. Raises Permanent."""
    if held.content is None:
        raise Permanent("alert_erased", "What the output would tell was erased.")
    facts = decode(held.content, Facts)
    facts = replace(
        facts,
        incident_number=held.number or "",
        incident_url=api.record_url(table, held.sys_id),
        incident_sys_id=held.sys_id,
    )
    try:
        mapping, element = alerts.mapped_by(held.body, held.position, held.revision_id)
    except Unmappable as error:
        raise Permanent("alert_unreadable", error.message) from error
    name = held.kind.removeprefix(OUTPUT)
    for output in mapping.outputs_of(element, facts):
        if output.name == name:
            return Sending(api=api, held=held, output=output)
    raise Permanent("mapping_gone", f"The mapping's revision has no output {name} for this alert any more.")


class Sending:
    def __init__(self, *, api: TableApi, held: Addition, output: RenderedOutput) -> None:
        self._api = api
        self._held = held
        self._output = output
        self._mark = f"{held.sys_id}:{output.name}"  # no character that a writer of JSON may escape

    def is_there(self, deadline: float) -> bool:
        if self._output.kind != EVENT or self._held.sent_until is None:
            return False
        return outputs.has_event(self._api, self._output.fields, self._mark, deadline=deadline)

    def send(self, deadline: Callable[[], float]) -> dict[str, object]:
        output = self._output
        if output.kind == EVENT:
            outputs.send_event(self._api.client, output.fields, self._mark, deadline=deadline())
            return {"sent": EVENT, "fields": sorted(output.fields)}
        found, told = find_records(output.finds, self._api, deadline())
        output = msgspec.structs.replace(output, fields=output.fields | found, finds={})
        try:
            if output.is_empty:
                raise Permanent(
                    "nothing_to_send", "All of its fields are empty for this alert: see `outputs` of the mapping."
                )
            record = outputs.send_enrichment(self._api.client, output, deadline=deadline())
        except Permanent as error:
            raise Permanent(error.code, error.message + _left_out(self._output.finds, told)) from error
        return {"sent": output.kind, "fields": sorted(output.fields), **told} | ({"record": record} if record else {})


def _left_out(finds: Mapping[str, Find], told: Mapping[str, Json]) -> str:
    """What a refusal may come from: columns that the mapping gives, and whose records were not to be had."""
    refused, missing = told.get("not_looked_up") or {}, told.get("not_found") or []
    parts = [
        f" `{name}` was left out, for {finds[name].table} could not be asked ({code}): see that the table is there, "
        "and give the integration user a role that reads it."
        for name, code in refused.items()
    ]
    parts += [f" `{name}` was left out, for no such record is in {finds[name].table}." for name in missing]
    return "".join(parts)

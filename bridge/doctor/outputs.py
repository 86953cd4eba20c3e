"""Steps: what mappings send beside their incidents. A post is not tried: it would leave an event or a result there."""

from __future__ import annotations

from bridge.doctor.access import first_rows
from bridge.doctor.finding import Cause, Finding, not_tested, wrong
from bridge.doctor.visit import Visit
from bridge.errors import BridgeError, Permanent
from bridge.mapping.outputs import EVENT
from bridge.servicenow import attachments as attachment_api
from bridge.servicenow.outputs import EVENTS, EVENTS_PATH, NOT_PUBLISHED, TABLES

ONLY_AN_OUTPUT = "whether this user may post to it, only an output can show"
TELLING = frozenset({400, 403, 404, 405, *range(200, 300)})  # statuses that say something of the path
ROLES = {EVENT: "evt_mgmt_integration"}
ATTACHMENT = "attachment"  # among Visit.outputs
API_WRITE = "sn_sec_cmn.api_write"
NO_RECORD = "0" * 32  # a sys_id that no record has


def parts(visit: Visit) -> tuple[str, ...]:
    return tuple(kind for kind in visit.outputs if kind != ATTACHMENT)


def attachment_parts(visit: Visit) -> tuple[str, ...]:
    return ("",) if ATTACHMENT in visit.outputs else ()


def attachments(visit: Visit, _part: str) -> Finding:
    """Whether the API takes these credentials; a file is not put on any record."""
    try:
        attachment_api.has_attachment(visit.client, visit.tables[0], NO_RECORD, "none.json", deadline=visit.deadline())
    except Permanent as error:
        return visit.failed(error, attachment_api.TABLE)
    return not_tested("The Attachment API answers; whether this user may attach a file, only an attachment can show.")


def output(visit: Visit, kind: str) -> Finding:
    if kind == EVENT:
        cause = Cause(
            what="Event Management may not be installed.",
            do="Ask the administrator whether ITOM Event Management is active here.",
        )
        return _knocked(visit, kind, EVENTS, EVENTS_PATH, cause, also=_look_up(visit))
    path = visit.instance.enrichment_path(kind)
    cause = Cause(what=f"{NOT_PUBLISHED}.", do="Write it into `enrichment_path` of the instance in bridge.yaml.")
    if path is None:
        said = f"The path of {kind} is not configured: what mappings send there is given up, every time."
        return wrong(said, cause)
    return _knocked(visit, kind, TABLES[kind], path, cause)


def _knocked(visit: Visit, kind: str, table: str, path: str, absent: Cause, *, also: str = "") -> Finding:
    """A read of a path that takes posts only: what it answers tells a little of whether something is there."""
    before = len(visit.heard)
    try:
        visit.client.read(table, path, {}, deadline=visit.deadline())
    except BridgeError:
        if _status(visit, before, path) not in TELLING:
            raise
    status = _status(visit, before, path)
    if status == 405 or 200 <= status < 300:
        return not_tested(f"Something is at {path} (a read is answered {status}); {ONLY_AN_OUTPUT}.{also}")
    if status == 403:
        do = f"Give the integration user the role {ROLES.get(kind, API_WRITE)}."
        return not_tested(
            f"{path} refuses a read (403), and may take posts; {ONLY_AN_OUTPUT}.{also}",
            Cause(what="The integration user may lack the role.", do=do),
        )
    said = f"A read of {path} is answered {status}, as where nothing is, and perhaps where only posts are taken; "
    return not_tested(f"{said}{ONLY_AN_OUTPUT}.{also}", absent)


def _status(visit: Visit, before: int, path: str) -> int:
    """Of the last answer from there: the client may have read elsewhere to explain it. 0 when none came."""
    return next((heard.raw.status for heard in reversed(visit.heard[before:]) if heard.raw.path == path), 0)


def _look_up(visit: Visit) -> str:
    """Of an event whose answer was lost."""
    try:
        first_rows(visit, EVENTS, ("sys_id",))
    except Permanent:
        return f" {EVENTS} may not be read: an event whose answer is lost is sent again."
    return ""

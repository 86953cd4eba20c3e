"""The Attachment API: a file on a record. Its name tells whether it is there; two may have one name."""

from __future__ import annotations

from bridge.errors import Permanent, Transient
from bridge.servicenow import outcome
from bridge.servicenow.client import Client

ATTACHMENT_BYTES_MAX = 5 << 20  # it refuses more than 10 MiB, and an instance may be set lower
TABLE = "sys_attachment"
PATH = "/api/now/v1/attachment"  # there is no version 2 of it


def has_attachment(client: Client, table: str, sys_id: str, name: str, *, deadline: float) -> bool:
    """Whether the record has a file of that name."""
    query = {"sysparm_query": f"table_sys_id={sys_id}^file_name={name}", "sysparm_limit": "1"}
    answer = client.read(TABLE, PATH, query, deadline=deadline)
    rows = answer.result if answer is not None else []
    if not isinstance(rows, list):
        raise Transient("unreadable_answer", "A list of attachments was asked for and something else came back.")
    for row in rows:
        if not isinstance(row, dict) or (row.get("table_sys_id"), row.get("file_name")) != (sys_id, name):
            raise Permanent(
                "lookup_unusable",
                f"Attachments of {table} came back that were not asked for: let the integration user query {TABLE}.",
            )
    return bool(rows)


def attach(client: Client, table: str, sys_id: str, name: str, document: bytes, *, deadline: float) -> None:
    """Put a JSON document on the record. Raises as a write does."""
    query = {"table_name": table, "table_sys_id": sys_id, "file_name": name}
    answer = client.upload(TABLE, f"{PATH}/file", query, document, deadline=deadline)
    if not isinstance(answer.result, dict) or answer.result.get("table_sys_id") != sys_id:
        raise outcome.unsure("foreign_answer", "The answer shows another attachment than was sent.", writes=True)

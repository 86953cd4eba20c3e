"""Journal fields: each write appends an entry, nothing is ever edited, and a record reads them back as one text."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.simulator.table import JOURNALS

Row = dict[str, str]

BOTH = "comments_and_work_notes"


def journal_text(entries: Iterable[Row], column: str, display_name: Callable[[str], str]) -> str:
    """What sysparm_display_value=true shows: newest first, with time, author and kind [CLIENT demisto's parser]."""
    wanted = JOURNALS if column == BOTH else {column: JOURNALS[column]}
    shown = [entry for entry in entries if entry["element"] in wanted]
    return "".join(
        f"{entry['sys_created_on']} - {display_name(entry['sys_created_by'])} ({JOURNALS[entry['element']]})\n"
        f"{entry['value']}\n\n"
        for entry in reversed(shown)
    )

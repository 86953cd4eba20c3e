"""From what was seen to its probable causes. A row is only told where what was seen fits it. Pure."""

from __future__ import annotations

from bridge.doctor.cause_rows import Row, Seen
from bridge.doctor.causes_reach import REACH
from bridge.doctor.causes_rights import LOAD, RIGHTS
from bridge.doctor.finding import Cause, Lead

__all__ = ["CAUSES", "Row", "Seen", "causes_of"]

CAUSES: tuple[Row, ...] = (*REACH, *RIGHTS, *LOAD)


def causes_of(seen: Seen) -> tuple[Cause, ...]:
    """In the order of the table. Empty when nothing more is known than the sentence itself says."""
    found = (row for row in CAUSES if seen.code in row.codes and row.fits(seen))
    return tuple(
        Cause(
            what=_filled(row.what, seen),
            do=_filled(row.do, seen),
            lead=Lead(by=row.by, seen=seen) if row.by else None,
        )
        for row in found
    )


def _filled(text: str, seen: Seen) -> str:
    return text.format(
        api=seen.api,
        app=seen.app,
        host=seen.host,
        location=seen.location,
        plugin=seen.plugin,
        padded=seen.padded,
        role=seen.role,
        table=seen.table,
        message=seen.message,
        named=seen.named,
    )

"""Where the simulation's incidents go: each way of writing, and Security Incident Response."""

from __future__ import annotations

from datetime import timedelta

from bridge.settings import Attention, Close, Source, SourceAuth, Staging, Target, Write
from simulation import fake

CODES = {"incident": ("Known error",), "sn_si_incident": ("-100",)}  # a false positive
CLOSE = Close(state="6", code="Solution provided", notes="The source reports this resolved.")

TARGETS: dict[str, Target] = {
    "table": Target(
        name="itsm", instance="test", table="incident", close=CLOSE, false_positive_codes=CODES["incident"]
    ),
    "import_set": Target(
        name="itsm",
        instance="test",
        table="incident",
        close=CLOSE,
        false_positive_codes=CODES["incident"],
        write=Write.IMPORT_SET,
        key_field=fake.KEY,
        staging=Staging(table=fake.STAGING),
    ),
    "unique": Target(
        name="itsm",
        instance="test",
        table="incident",
        close=CLOSE,
        false_positive_codes=CODES["incident"],
        write=Write.UNIQUE,
        key_field=fake.KEY,
    ),
    "security": Target(
        name="itsm",
        instance="test",
        table="sn_si_incident",
        close=Close(state="3", code="102", notes="The source reports this resolved."),
        false_positive_codes=CODES["sn_si_incident"],
    ),
}
SOURCES = {"probe": Source(name="probe", mapping="probe", auth=SourceAuth(scheme="none"))}
ATTENTION = Attention(target="itsm", assignment_group="", after=timedelta(minutes=15))

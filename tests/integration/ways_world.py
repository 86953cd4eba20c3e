"""Every way of writing, as targets, and the simulated instance set up for each."""

from __future__ import annotations

from dataclasses import replace

from sync_world import World, itsm

from bridge.settings import Close, Staging, Target, Write
from bridge.settings.targets import PRESETS
from bridge.simulator.transform import Staging as Simulated
from bridge.simulator.transform import TransformMap

STAGING = "u_bridge_incident"
KEY = "u_bridge_key"  # a column of the administrator's own
SIR_CLOSE = Close(state="3", code="102", notes="Resolved at the source.")


def staged(**changes: object) -> Target:
    return replace(itsm(write=Write.IMPORT_SET, staging=Staging(table=STAGING)), **changes)  # type: ignore[arg-type]


def sir(preset: str) -> Target:
    staging = PRESETS[preset]["sn_si_incident"]
    return itsm(table="sn_si_incident", close=SIR_CLOSE, write=Write.IMPORT_SET, staging=staging)


def unique(key_field: str = KEY) -> Target:
    return itsm(write=Write.UNIQUE, key_field=key_field)


TARGETS = {
    "table": itsm(),
    "table, SIR": itsm(table="sn_si_incident", close=SIR_CLOSE),
    "import_set": staged(),
    "import_set with a key": staged(key_field=KEY),
    "elastic": itsm(write=Write.IMPORT_SET, staging=PRESETS["elastic"]["incident"]),
    "elastic, SIR": sir("elastic"),
    "sir_import": sir("sir_import"),
    "unique": unique(),
    "unique by the ID": unique("correlation_id"),
}


def simulated(*coalesce: str, **more: object) -> Simulated:
    ways = (coalesce,) if coalesce else ()
    fields = {KEY: KEY} | more.pop("fields", {})  # type: ignore[operator, attr-defined]
    each = TransformMap(name="Bridge", target="incident", prefix="u_", coalesce=ways, fields=fields, **more)  # type: ignore[arg-type]
    return Simulated(name=STAGING, maps=(each,))


def aim(world: World, target: Target, staging: Simulated | None = None) -> World:
    world.simulator.add_columns("incident", (KEY,))
    world.simulator.add_staging(staging or simulated(target.key_field))
    if target.write is Write.UNIQUE:
        world.simulator.rows.unique["incident"] = (target.key_field,)
    world.aim(target)
    return world

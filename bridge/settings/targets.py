"""From a target's section of bridge.yaml to a Target: where incidents go, and by which way they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from bridge.correlation.policy import CloseWhen
from bridge.mapping.model import NEVER_WRITTEN
from bridge.settings import (
    CORRELATION_ID,
    CREATES_PER_HOUR_DEFAULT,
    LATE_COMMIT_DEFAULT,
    LATE_COMMIT_LEAST,
    LATE_COMMIT_MOST,
    Close,
    Instance,
    Mode,
    Staging,
    Target,
    Write,
)
from bridge.settings.instance import is_loopback
from bridge.settings.section import Section

CLOSE_STATE = {"incident": "6", "sn_si_incident": "3"}  # Resolved; Closed. The tables we know, too
CLOSE_NOTES_DEFAULT = "Resolved at the source."

# Staging tables that others ship: by preset, then by the table that they write.
PRESETS = {
    "elastic": {
        "incident": Staging(
            table="x_elas2_inc_int_elastic_incident",
            record_column="elastic_incident_id",
            carries_values=True,
            app="x_elas2_inc_int",
        ),
        "sn_si_incident": Staging(
            table="x_elas2_sir_int_elastic_si_incident",
            record_column="elastic_incident_id",
            carries_values=True,
            app="x_elas2_sir_int",
        ),
    },
    # Nothing is published of how its map finds a record to update: what is there already is changed by the Table API.
    "sir_import": {
        "sn_si_incident": Staging(table="sn_si_incident_import", prefix="", coalesces=False, carries_values=True)
    },
}

_FIELD = re.compile(r"[a-z][a-z0-9_]*")


def target_of(name: str, section: Section, root: Section) -> Target:
    if name == "drop":
        section.refuse_whole("a target cannot be called `drop`: in a mapping's route that word drops the alert")
    instance = section.reference("instance", root, "instances")
    table = section.word("table", tuple(CLOSE_STATE), None)
    write = Write(section.word("write", tuple(Write), Write.TABLE))
    mode = Mode(section.word("mode", tuple(Mode), Mode.WRITE))
    tenant = section.name("tenant", "default")
    defaults = _defaults(section)
    close = _close(section, table)
    adopt = section.word("adopt", ("any",), "")
    target = Target(
        name=name,
        instance=instance,
        table=table,
        mode=mode,
        tenant=tenant,
        defaults=defaults,
        close=close,
        reopen_state=section.text("reopen_state", "") or None,
        false_positive_codes=section.texts("false_positive_codes"),
        max_creates_per_hour=section.integer("max_creates_per_hour", CREATES_PER_HOUR_DEFAULT, least=1),
        late_commit=section.duration("late_commit", LATE_COMMIT_DEFAULT, least=timedelta(seconds=1)),
        adopt_any=adopt == "any",
        write=write,
        key_field=_key_field(section, write),
        staging=_staging(section, table, write),
    )
    section.finish()
    return target


def refuse_late_commits(targets: Mapping[str, Target], instances: Mapping[str, Instance], root: Section) -> None:
    """Windows within which a write may land all the same (twins), or that hold up what had no answer for too long."""
    for target in targets.values():
        place = ("targets", target.name, "late_commit")
        instance = instances.get(target.instance)
        simulated = instance is None or is_loopback(urlsplit(instance.url).hostname or "")
        if target.late_commit < LATE_COMMIT_LEAST and not simulated:
            why = (
                "a write that was cut off may land until 5m later, and sent again before it would make a second record"
            )
            root.refuse(place, f"`late_commit` is too short: {why}", "write 5m or more; 310s when left out")
        elif target.late_commit > LATE_COMMIT_MOST:
            why = "a write without an answer waits so long before it is sent again, and its incident with it"
            root.refuse(place, f"`late_commit` is too long: {why}", "write 1h or less; 310s when left out")


def refuse_shared_tables(targets: Mapping[str, Target], instances: Mapping[str, Instance], root: Section) -> None:
    """Two tenants that write one table by one account: after a lost reply nothing in a record says whose it is."""
    first: dict[tuple[object, str], Target] = {}
    for target in targets.values():
        instance = instances.get(target.instance)
        account = _account(instance) if instance is not None and instance.url else target.instance
        other = first.setdefault((account, target.table), target)
        if target.tenant != other.tenant:
            place = f"`{target.instance}`"
            if instance is not None and other.instance != target.instance:
                place += f" and of `{other.instance}`, which are one account at {instance.url}"
            message = (
                f"`{target.name}` of tenant `{target.tenant}` and `{other.name}` of `{other.tenant}` write "
                f"`{target.table}` of {place}: a record there does not say whose it is"
            )
            hint = "give each tenant an instance, or an account whose domain shows no records of the other's"
            root.refuse(("targets", target.name, "tenant"), message, hint)


def _account(instance: Instance) -> object:
    """Who writes, and where, as far as it can be known without the secrets: one account may be named twice."""
    url, auth = urlsplit(instance.url), instance.auth
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.hostname, port, auth.username or auth.user or auth.client_id or auth.key or instance.name


def _staging(section: Section, table: str, write: Write) -> Staging | None:
    known = PRESETS.get(section.word("preset", tuple(PRESETS), "")) if section.has("preset") else None
    of_its_own = [key for key in ("staging_table", "field_prefix") if section.has(key)]
    if write is not Write.IMPORT_SET:
        for key in (*of_its_own, *(["preset"] if section.has("preset") else [])):
            section.refuse(key, f"`{key}` goes with `write: import_set`", "add that, or remove it", at_key=True)
        return None
    if known is None:
        if not section.has("preset"):
            return Staging(
                table=_column(section, "staging_table"), prefix=section.text("field_prefix", "u_", empty=True)
            )
        return None
    for key in of_its_own:
        section.refuse(key, "the preset names it", "remove it, or leave the preset out", at_key=True)
    if table in CLOSE_STATE and table not in known:
        section.refuse("preset", f"writes {', '.join(known)}, not {table}", "correct `table`, or the preset")
    return known.get(table)


def _key_field(section: Section, write: Write) -> str:
    if write is Write.UNIQUE and not section.has("key_field"):
        section.missing("key_field", "the column that has the unique index")
    if not section.has("key_field"):
        return CORRELATION_ID
    if write is Write.TABLE:
        section.refuse("key_field", "`key_field` goes with `write: import_set` or `unique`", "remove it", at_key=True)
    return _column(section, "key_field")


def _column(section: Section, key: str) -> str:
    name = section.text(key)
    if name and _FIELD.fullmatch(name) is None:
        section.refuse(key, f"`{name}` is not a name in ServiceNow", "lower-case letters, digits and _")
    return name


def _defaults(section: Section) -> tuple[tuple[str, str], ...]:
    defaults = section.section("defaults")
    for field in defaults.names():
        if _FIELD.fullmatch(field) is None:
            defaults.refuse(
                field, f"`{field}` is not a field's name", "as in ServiceNow: caller_id, u_team", at_key=True
            )
        elif field in NEVER_WRITTEN:
            defaults.refuse(field, f"`{field}` is never written by the bridge", "leave it to people", at_key=True)
    filled = {field: defaults.text(field) for field in defaults.names()}
    if "risk_score" in filled and filled.get("risk_score_override") != "true":  # the instance works its own out
        message = '`risk_score` is not written without `risk_score_override: "true"`'
        defaults.refuse("risk_score", message, "add that beside it, or remove it", at_key=True)
    return tuple(filled.items())


def _close(section: Section, table: str) -> Close | None:
    if not section.has("close"):
        return None
    close = section.section("close")
    built = Close(
        state=close.text("state", CLOSE_STATE.get(table, "")),
        code=close.text("code", "") or None,
        notes=close.text("notes", CLOSE_NOTES_DEFAULT),
        when=CloseWhen(close.word("when", tuple(CloseWhen), CloseWhen.UNTOUCHED)),
    )
    close.finish()
    return built

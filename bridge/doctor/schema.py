"""Steps: what the instance tells of its tables, and whether the targets' own words fit it. All of it is optional."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.dictionary.reading import Reading
from bridge.doctor.finding import Cause, Finding, counted, not_tested, ok, wrong
from bridge.doctor.visit import Visit
from bridge.errors import Permanent
from bridge.servicenow import dictionary
from bridge.servicenow.dictionary import CHOICES, DICTIONARY, GROUPS, OVERRIDES
from bridge.servicenow.identity import shortfalls
from bridge.settings import Target, Write

NOT_ALLOWED = frozenset({"query_rights", "acl", "forbidden", "rows_hidden", "partly_hidden", "lookup_unusable"})
# place below a target's section -> the column that it is about, where that is not its name
COLUMN_OF = {("close", "code"): "close_code", ("reopen_state",): "state"}
# table -> what is off without the right to read it, and the right
OPTIONAL = {
    DICTIONARY: (
        "fields that the table lacks are not noticed, and texts are cut at ServiceNow's own lengths",
        "a role that may read sys_dictionary, such as `personalize_dictionary`",
    ),
    OVERRIDES: (
        "of columns that a table inherits, what it says otherwise than task is not known to `bridge check --instance`: "
        "IB507 and IB508 go by task",
        "a role that may read sys_dictionary_override, such as `personalize_dictionary`",
    ),
    CHOICES: (
        "values that are no choice are not noticed, close codes among them",
        "a role that may read sys_choice, such as `personalize_choices`",
    ),
    GROUPS: (
        "groups that do not exist are noticed only when an alert names one, and are then left out",
        "the right to read sys_user_group: on most instances every user has it",
    ),
}


def parts(_visit: Visit) -> tuple[str, ...]:
    return tuple(OPTIONAL)


def schema(visit: Visit, part: str) -> Finding:
    try:
        return ok(READ[part](visit))
    except Permanent as error:
        without, right = OPTIONAL[part]
        if error.code == "without_columns":
            return not_tested(error.message)
        if error.code not in NOT_ALLOWED:
            return not_tested(f"{error.message} So {without}.")
        cause = Cause(
            what="The integration user lacks the right, which is optional.", do=f"To have this, give it {right}."
        )
        if error.code == "rows_hidden":
            return not_tested(f"{part} shows no row to the integration user: {without}.", cause)
        if error.code == "partly_hidden":
            return not_tested(f"{error.message} A part is not used: {without}.", cause)
        return not_tested(f"{part} may not be read: {without}.", cause)


def _columns(visit: Visit) -> str:
    staging = visit.staging_tables
    found = dictionary.columns(visit.table.all_rows, visit.tables, staging=staging, deadline=visit.deadline())
    _keep(visit, replace(visit.reading, columns=found))
    told = [f"{table} has {counted(len(columns), 'column')}" for table, columns in found.items()]
    told += [f"of {table} nothing is shown" for table in staging if table not in found]
    return "; ".join(told) + "."


def _overrides(visit: Visit) -> str:
    if visit.reading.columns is None:
        raise Permanent("without_columns", f"Without {DICTIONARY} there is nothing that {OVERRIDES} could change.")
    found = dictionary.overrides(visit.table.all_rows, visit.tables, deadline=visit.deadline())
    _keep(visit, replace(visit.reading, columns=dictionary.overridden(visit.reading.columns, found)))
    return "; ".join(f"{table} overrides {counted(len(columns), 'column')}" for table, columns in found.items()) + "."


def _choices(visit: Visit) -> str:
    found = dictionary.choices(visit.table.all_rows, visit.tables, deadline=visit.deadline())
    _keep(visit, replace(visit.reading, choices=found))
    return "; ".join(f"{table} has {len(columns)} columns with choices" for table, columns in found.items()) + "."


def _groups(visit: Visit) -> str:
    found = dictionary.groups(visit.table.all_rows, deadline=visit.deadline())
    _keep(visit, replace(visit.reading, groups=found))
    return f"There are {len(found)} active groups."


READ: dict[str, Callable[[Visit], str]] = {
    DICTIONARY: _columns,
    OVERRIDES: _overrides,
    CHOICES: _choices,
    GROUPS: _groups,
}


def _keep(visit: Visit, reading: Reading) -> None:
    visit.reading = replace(reading, read_at=visit.clock())


def target_parts(visit: Visit) -> tuple[str, ...]:
    return tuple(target.name for target in visit.targets) or ("",)


def target(visit: Visit, name: str) -> Finding:
    """Whether what bridge.yaml says of a target fits the instance."""
    one = next((target for target in visit.targets if target.name == name), None)
    if one is None:
        return not_tested("No target names the instance.")
    if visit.reading.columns is None and visit.reading.choices is None:
        return not_tested("The instance's columns and choices are not known.")
    if causes := [Cause(what=found.what, do=found.do) for found in misfits(one, visit.reading)]:
        return wrong(f"What bridge.yaml says of {name} does not fit {one.table}.", *causes)
    return ok(f"What bridge.yaml says of {name} fits {one.table}.")


def unique_parts(visit: Visit) -> tuple[str, ...]:
    """The targets that count on an index; without one there is nothing to say."""
    return tuple(target.name for target in visit.targets if target.write is Write.UNIQUE)


def unique_index(visit: Visit, name: str) -> Finding:
    target = next(target for target in visit.targets if target.name == name)
    column = f"{target.table}.{target.key_field}"
    cause = Cause(
        what="Without a unique index `write: unique` promises no more than `write: table`.",
        do=f"Look under System Definition > Tables, {target.table}, Database Indexes: one on {target.key_field} alone, "
        "with Unique index on.",
    )
    return not_tested(f"Whether {column} has a unique index is not to be seen from here.", cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What bridge.yaml says of a target and the instance does not have."""

    at: tuple[str, ...]  # its place, below the target's section
    lint: str | None  # what `bridge check` calls it; None: it is an error, for nothing can be created
    what: str
    do: str


def misfits(target: Target, reading: Reading) -> list[Misfit]:
    """What bridge.yaml says of a target, against what the instance has told."""
    left_out = "it is left out of every create"
    to_map = f"it is left to the transform map of {target.staging.table}" if target.staging is not None else left_out
    found = [
        Misfit(
            at=("defaults", name),
            lint="IB501",
            what=f"{target.table} has no column {name}: {to_map}.",
            do=f"Correct targets.{target.name}.defaults.",
        )
        for name, _ in target.defaults
        if reading.lacks(target.table, name)
    ]
    found += [
        Misfit(at=("key_field",), lint=None, what=short.what, do=short.do) for short in shortfalls(target, reading)
    ]
    values: list[tuple[tuple[str, ...], str, str]] = [
        (("defaults", name), value, to_map if target.may_translate else left_out) for name, value in target.defaults
    ]
    if target.close is not None:
        values.append((("close", "state"), target.close.state, "closing will be refused"))
        values.append((("close", "code"), target.close.code or "", "so nothing is closed at this target"))
    values.append((("reopen_state",), target.reopen_state or "", "reopening will be refused"))
    for at, value, so in values:
        name = COLUMN_OF.get(at, at[-1])
        if not reading.takes(target.table, name, value):
            choices = ", ".join(sorted((reading.choices or {})[target.table][name]))
            found.append(
                Misfit(
                    at=at,
                    lint="IB503",
                    what=f"{value!r} is no choice of {name}: {so}.",
                    do=f"Take one of its values: {choices}.",
                )
            )
    return found

"""A JSON Schema of mapping files, for editors: it completes keys, tells what they mean, marks what is misspelt. Pure.

Its keys are those of SECTIONS, so it takes what the compiler takes. It is draft 7, the newest that the YAML extension
of VS Code knows. It says less than `bridge check`: what stands inside an expression or a text is not looked at.
"""

from __future__ import annotations

from bridge.alert import SEVERITY_OF, Json, Outcome, Status
from bridge.correlation.policy import Reason
from bridge.mapping.evaluate import FACTS
from bridge.mapping.expectation import ACTIONS
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.model import (
    ALERTS_PER_DELIVERY_MAX,
    COLUMN,
    DURATION,
    EXPECTATIONS,
    EXTRACT_NAME,
    EXTRACTS_MAX,
    FILE,
    KINDS,
    NAME,
    NEVER_UPDATED,
    NEVER_WRITTEN,
    OUTPUT_FIELD,
    OUTPUTS_MAX,
    SECTIONS,
)
from bridge.mapping.outputs import SYS_ID
from bridge.mapping.suppression import DAYS

DRAFT = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Json]


def mapping_schema() -> Schema:
    """The schema of a mapping file and of the shared files that it includes."""
    required = list(FILE["required"])
    own = [key for key in required if key not in SECTIONS["shared"][0].split()]  # the rest may come from an include
    return {
        "$schema": DRAFT,
        "title": "A mapping of the incident bridge",
        "description": "Turns the alerts of one product into incidents. A shared file has no name and no owner.",
        **_section("mapping"),
        "if": {"anyOf": [{"required": [key]} for key in own]},
        "then": {
            "required": own,
            "if": {"not": {"required": ["include"]}},
            "then": {"required": required},
        },
        "definitions": {
            **_values(),
            **{_name(section): _section(section) for section in SECTIONS if section not in ("mapping", "shared")},
        },
    }


def _name(section: str) -> str:
    return section.replace(" ", "_")


def _section(section: str) -> Schema:
    """A map with the keys of SECTIONS, each with what is known of it here."""
    rows = WORDS["mapping" if section == "shared" else section] if section in WORDS else {}
    properties = {}
    for key in SECTIONS[section][0].split():
        shape, words = rows.get(key, ({}, ""))
        properties[key] = ({"description": words} if words else {}) | shape
    result: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return result | ({"required": list(REQUIRED[section])} if section in REQUIRED else {})


def _of(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{_name(definition)}"}


def _some(shape: Schema) -> Schema:
    """Where a list is expected, one value is a list of one."""
    return {"anyOf": [shape, {"type": "array", "items": shape}]}


def _map(values: Schema, **more: Json) -> Schema:
    return {"type": "object", "additionalProperties": values} | more


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _columns(never: frozenset[str]) -> Schema:
    refused = dict.fromkeys(sorted({"assignment_group", *never}), False)
    return _map(_of("field"), properties=refused, propertyNames={"pattern": _whole(COLUMN.pattern)})


def _values() -> Schema:
    """What stands at the keys, by name."""
    scalar = {"type": ["string", "number", "boolean", "null"]}
    functions, facts = ", ".join(sorted(FUNCTIONS)), ", ".join(FACTS)
    return {
        "expression": {
            "type": "string",
            "minLength": 1,
            "description": 'A path (.a.b[0].c, .list[].x, ."odd.key"), a name (an earlier extract), or a literal in '
            "double quotes of its own; `??` between alternatives; functions after `|`: "
            f"{functions}. Names besides the extracts: {facts}.",
        },
        "text": {
            "type": ["string", "number", "boolean"],
            "description": "Text; {{ }} holds an expression. Nothing of an alert is read for {{ }} again.",
        },
        "severity_word": {"enum": [*reversed(SEVERITY_OF)]},
        "duration": {
            "type": "string",
            "pattern": _whole(DURATION.pattern),
            "patternErrorMessage": "A duration is written 90s, 15m, 4h or 7d.",  # of the extension
        },
        "condition": {
            "description": "field|modifier: value. Keys are AND, list values OR; `any`, `all` and `not` combine. "
            "Modifiers: contains, startswith, endswith, re, cidr, exists, in_lookup, gt, gte, lt, lte, all; of "
            "severity at_least and at_most.",
            "anyOf": [
                {
                    "type": "object",
                    "minProperties": 1,
                    "properties": {key: _of("condition") for key in ("any", "all", "not")},
                    "patternProperties": {
                        r"\|exists$": {"type": "boolean"},
                        r"\|(?:gt|gte|lt|lte)(?:\|all)?$": _some(_NUMBER),
                        r"^severity\|at_(?:least|most)$": _of("severity_word"),
                        r"^severity$": _some(_of("severity_word")),
                    },
                    "additionalProperties": _some(scalar),
                },
                {"type": "array", "items": _of("condition")},
            ],
        },
        "field": {"anyOf": [_of("text"), _of("value table"), _of("find")]},
        "columns": _columns(NEVER_WRITTEN),
        "update_columns": _columns(NEVER_WRITTEN | NEVER_UPDATED),
        "expect": {
            "type": "object",
            "minProperties": 1,
            "properties": {key: EXPECTED.get(key, scalar) for key in EXPECTATIONS},
            "patternProperties": {r"^fields\.": scalar, _whole(OUTPUT_FIELD.pattern): scalar},
            "additionalProperties": False,
        },
    }


_TEXT, _EXPRESSION, _CONDITION, _DURATION = _of("text"), _of("expression"), _of("condition"), _of("duration")
_SEVERITY = _of("severity_word")
_VALUE: Schema = {"anyOf": [_of("text"), _of("value table")]}
_NUMBER: Schema = {"type": "number"}
_CLOCK: Schema = {"type": "string", "pattern": r"^\d\d:\d\d$", "patternErrorMessage": 'A time is written "22:00".'}
_DATE: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\d$",
    "patternErrorMessage": "A date is written 2027-03-31.",
}
_BOUNDS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": dict.fromkeys(reversed(SEVERITY_OF), _CONDITION),
}

# What the compiler asks for in every one of these maps. Maps that an include may fill are not here.
REQUIRED: dict[str, tuple[str, ...]] = {
    "each": ("in",),
    "range": ("to",),
    "join": ("same", "within"),
    "suppress": ("name", "reason", "when"),
    "window": ("tz",),
    "route": ("to",),
    "value table": ("by", "table"),
    "find": ("find", "by"),
    "test": ("name", "alert", "expect"),
    "step": ("expect",),
}

EXPECTED: dict[str, Schema] = {
    "action": {"enum": ACTIONS},
    "reason": {"type": ["string", "null"], "examples": [reason.value for reason in Reason]},
    "outcome": {"enum": [outcome.value for outcome in Outcome]},
    "severity": {"enum": [*reversed(SEVERITY_OF), None]},
    "status": {"enum": [*(status.value for status in Status), None]},
    "observables": _map(_some({"type": ["string", "number", "boolean", "null"]})),
    "outputs": {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}]},
}

Row = tuple[Schema, str]

_STEP: dict[str, Row] = {
    "alert": ({"type": "string"}, "A sample, as a path below the mappings folder: samples/alert.json."),
    "element": ({"type": "integer", "minimum": 0}, "Which alert of the delivery; 0 is the first."),
    "change": (
        {"type": "object", "propertyNames": {"pattern": r"^\."}},
        "Other values for this step: {.labels.env: dev}.",
    ),
    "expect": (_of("expect"), "The decision at this instant, if nothing more arrives."),
}

# section -> key -> what stands there, and what it means. The keys themselves are those of SECTIONS.
WORDS: dict[str, dict[str, Row]] = {
    "mapping": {
        "mapping": ({"type": "string", "pattern": _whole(NAME.pattern)}, "The name of this file, without .yaml."),
        "version": (_TEXT, "For people; shown beside what the mapping did."),
        "owner": (_TEXT, "Who answers for this mapping."),
        "include": (
            _some({"type": "string"}),
            "Shared files, as paths below the mappings folder. What stands here wins.",
        ),
        "match": (_CONDITION, "Which deliveries are meant for this mapping; others wait in quarantine. Paths only."),
        "each": (_of("each"), "Where one delivery holds many alerts: all below sees one at a time."),
        "extract": (
            _map(_EXPRESSION, propertyNames={"pattern": _whole(EXTRACT_NAME.pattern)}, maxProperties=EXTRACTS_MAX),
            "Names for what is used below. A line may use the lines before it.",
        ),
        "time": (_EXPRESSION, "When it happened, by the source's clock; orders the alerts of a correlation."),
        "personal": (_some({"type": "string"}), "The extracts that hold personal data."),
        "severity": (_of("severity"), "How bad it is: critical, high, medium, low or info."),
        "correlation": (_of("correlation"), "What makes two alerts the same problem, and how its incident lives."),
        "suppress": (_some(_of("suppress")), "Alerts that are counted and do nothing else."),
        "route": (_some(_of("route")), "Where incidents go; the first match wins, decided once per episode."),
        "fields": (_of("fields"), "What is written to ServiceNow."),
        "observables": (
            _map(_some(_EXPRESSION), propertyNames={"pattern": _whole(COLUMN.pattern)}),
            "Addresses, hashes, users and the like, by kind.",
        ),
        "tests": ({"type": "array", "items": _of("test")}, "What must hold; run by `bridge mapping test`."),
        "attach": ({"type": "boolean"}, "The alert as it came, attached to the incident once."),
        "outputs": (
            _map(_of("output"), propertyNames={"pattern": _whole(NAME.pattern)}, maxProperties=OUTPUTS_MAX),
            "What is sent once beside a new incident: events, enrichment.",
        ),
    },
    "each": {
        "in": (_EXPRESSION, "Where the alerts are: .findings[]."),
        "limit": ({"type": "integer", "minimum": 1, "maximum": ALERTS_PER_DELIVERY_MAX}, "How many are taken."),
    },
    "severity": {
        "from": (_EXPRESSION, "Where the source says it."),
        "table": (_map(_SEVERITY), "The source's words (in any case) and ours. Without it they are the same."),
        "default": (_SEVERITY, "For what the table does not have; medium when left out."),
        "ranges": (
            _some(_of("range")),
            "For numbers: [{gte: 9, to: critical}, {gte: 7, to: high}]; the first that holds wins.",
        ),
        "raise_to": (_BOUNDS, "At least this bad, when the condition holds."),
        "lower_to": (_BOUNDS, "At most this bad, when the condition holds."),
    },
    "range": {
        "gt": (_NUMBER, "Above."),
        "gte": (_NUMBER, "From, this number included."),
        "lt": (_NUMBER, "Below."),
        "lte": (_NUMBER, "Up to, this number included."),
        "to": (_SEVERITY, "What such a number is."),
    },
    "correlation": {
        "id": (_TEXT, 'Names one problem: "{{ rule }}:{{ host }}". An empty part sends the alert to quarantine.'),
        "display": (_TEXT, "The product's name, as the incident shows it."),
        "update_every": (_some(_DURATION), "Repeats in between are counted, then told once; the last one repeats."),
        "reopen": (_of("reopen"), "What a return after the close does."),
        "after_person": (_of("after_person"), "How long repeats stay quiet after a person closed it."),
        "close_when": (_CONDITION, "When the source says that it is over."),
        "close_after": (_DURATION, "Quiet time before closing; 0s when left out."),
        "join": (_some(_of("join")), "An open incident with the same values takes the alert in."),
        "formerly": (_some(_TEXT), "The id as it was before, or all that it was; incidents are carried over."),
    },
    "reopen": {
        "within": (_DURATION, "How long after the close it is reopened; 0s never."),
        "else": ({"enum": ["create", "nothing"]}, "What happens after that."),
    },
    "after_person": {
        "closed": (_DURATION, "After a close."),
        "false_positive": (_DURATION, "After a close as a false positive."),
    },
    "join": {
        "same": (_some(_EXPRESSION), "Extracts that must be equal, and not empty."),
        "within": (_DURATION, "How old the other incident may be."),
    },
    "suppress": {
        "name": (_TEXT, "Shown with every alert it suppressed."),
        "reason": (_TEXT, "Why, for whoever asks later."),
        "ticket": (_TEXT, "Where it was agreed."),
        "until": (_DATE, "The last day, at most twelve months away."),
        "permanent": ({"const": True}, "It has no end."),
        "when": (_CONDITION, "What is suppressed."),
        "window": (_of("window"), "Only in these hours."),
    },
    "window": {
        "days": (_some({"enum": list(DAYS)}), "Days of the week; over midnight, those on which it begins."),
        "from": (_CLOCK, 'When it begins: "22:00".'),
        "to": (_CLOCK, 'When it ends: "04:00"; before `from`, on the next day.'),
        "tz": ({"type": "string"}, "Whose clock: Europe/Berlin."),
    },
    "route": {
        "when": (_CONDITION, "Without it the route takes all that is left."),
        "to": ({"type": "string", "pattern": _whole(NAME.pattern)}, "A target of bridge.yaml, or drop."),
        "assignment_group": (_TEXT, "The group's name; left out, ServiceNow's assignment rules decide."),
        "else_group": (_TEXT, "When the group is unknown, inactive or ambiguous."),
    },
    "fields": {
        "create": (_of("columns"), "Columns and texts of a new incident."),
        "update": (_of("update_columns"), "All that an update writes."),
        "close": (_of("columns"), "What a close writes besides state and close code."),
        "reopen": (_of("columns"), "What a reopen writes besides the state."),
        "on": (_of("on"), "What one table needs and the other does not."),
    },
    "on": {
        "sir": (_of("on table"), "Security incidents (sn_si_incident)."),
        "itsm": (_of("on table"), "ITSM incidents (incident)."),
    },
    "on table": {kind: (_of("update_columns" if kind == "update" else "columns"), f"At the {kind}.") for kind in KINDS},
    "value table": {
        "by": (_EXPRESSION, "What is looked up: severity, or a name or path."),
        "table": (_map(_TEXT), "Values (in any case) and the text for each."),
        "default": (_TEXT, "For all others; nothing when left out."),
    },
    "find": {
        "find": ({"type": "string", "pattern": _whole(COLUMN.pattern)}, "The table to look in: cmdb_ci_computer."),
        "by": (_map(_TEXT, minProperties=1), "Columns and texts that must all match."),
        "else": ({"anyOf": [{"const": "none"}, _of("find")]}, "When none matches, or more than one."),
    },
    "output": {
        "when": (_CONDITION, "Only for such alerts."),
        "event": (_of("event"), "An event for Event Management."),
        "ci_enrichment": (_of("enrichment"), "What is known of a configuration item."),
        "observable_enrichment": (_of("enrichment"), "What is known of an observable."),
        "threat_lookup": (_of("enrichment"), "What a threat look-up found."),
    },
    "event": {
        "source": (_VALUE, "Who says so; the mapping's correlation.display when left out."),
        "node": (_VALUE, "The host: its name, FQDN, IP or MAC address."),
        "resource": (_VALUE, "The disk, process or service on it."),
        "type": (_VALUE, "What kind of event it is."),
        "metric_name": (_VALUE, "What was measured."),
        "event_class": (_VALUE, "Which instance of the source; without a node, Event Management needs it."),
        "severity": (_VALUE, "1 critical to 5 OK, 0 clears; when left out, the alert's severity decides."),
        "description": (_VALUE, "For people."),
        "message_key": (_VALUE, "Events with the same are one alert; the correlation ID when left out."),
        "additional_info": (_map(_VALUE, minProperties=1), "Names and texts; sent as a JSON object."),
        "time_of_event": (_VALUE, "2027-03-31 22:00:00, in GMT; when the alert was last seen, when left out."),
    },
    "enrichment": {
        "fields": (
            _map(_of("field"), propertyNames={"pattern": _whole(COLUMN.pattern)}, minProperties=1),
            "Columns of the result's table, and texts.",
        ),
        "enrichment_mapping_id": (
            {"type": "string", "pattern": _whole(SYS_ID.pattern)},
            "The sys_id of an Enrichment Data Map.",
        ),
        "raw_data": (_VALUE, "What the data map reads; the alert as JSON when left out."),
        "ignore_mandatory_fields": ({"type": "boolean"}, "Keep it although mandatory columns are empty."),
        "include_wrap": ({"type": "boolean"}, "Ask for the answer inside of `result`."),
        "simple_response": ({"type": "boolean"}, "Ask only whether it worked."),
    },
    "test": {
        "name": (_TEXT, "What holds, as a sentence."),
        **_STEP,
        "then": (_some(_of("step")), "Steps on a fake clock."),
    },
    "step": {
        "after": (_DURATION, "Since the step before; the alert comes again."),
        "wait": (_DURATION, "Since the step before; nothing comes."),
        **_STEP,
    },
}

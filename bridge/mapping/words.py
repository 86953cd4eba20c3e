"""What each key of a mapping file means and what stands there, for its JSON Schema. The keys are those of SECTIONS."""

from __future__ import annotations

from bridge.alert import SEVERITY_OF, Json, Outcome, Status
from bridge.correlation.policy import Reason
from bridge.mapping.expectation import ACTIONS
from bridge.mapping.model import ALERTS_PER_DELIVERY_MAX, COLUMN, EXTRACT_NAME, EXTRACTS_MAX, KINDS, NAME, OUTPUTS_MAX
from bridge.mapping.outputs import SYS_ID
from bridge.mapping.product import CALLS_FROM, ENVELOPES, PRESETS, SCHEMES
from bridge.mapping.suppression import DAYS

Schema = dict[str, Json]


def definition_name(section: str) -> str:
    return section.replace(" ", "_")


def of(definition: str) -> Schema:
    return {"$ref": f"#/definitions/{definition_name(definition)}"}


def some(shape: Schema) -> Schema:
    """Where a list is expected, one value is a list of one."""
    return {"anyOf": [shape, {"type": "array", "items": shape}]}


def map_of(values: Schema, **more: Json) -> Schema:
    return {"type": "object", "additionalProperties": values} | more


def whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


_TEXT, _EXPRESSION, _CONDITION, _DURATION = of("text"), of("expression"), of("condition"), of("duration")
_SEVERITY = of("severity_word")
_VALUE: Schema = {"anyOf": [of("text"), of("value table")]}
NUMBER: Schema = {"type": "number"}
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
    "product auth": ("scheme",),
    "product step": ("auth", "do"),
}

EXPECTED: dict[str, Schema] = {
    "action": {"enum": ACTIONS},
    "reason": {"type": ["string", "null"], "examples": [reason.value for reason in Reason]},
    "outcome": {"enum": [outcome.value for outcome in Outcome]},
    "severity": {"enum": [*reversed(SEVERITY_OF), None]},
    "status": {"enum": [*(status.value for status in Status), None]},
    "observables": map_of(some({"type": ["string", "number", "boolean", "null"]})),
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
    "expect": (of("expect"), "The decision at this instant, if nothing more arrives."),
}

# section -> key -> what stands there, and what it means. The keys themselves are those of SECTIONS.
WORDS: dict[str, dict[str, Row]] = {
    "mapping": {
        "mapping": ({"type": "string", "pattern": whole(NAME.pattern)}, "The name of this file, without .yaml."),
        "version": (_TEXT, "For people; shown beside what the mapping did."),
        "owner": (_TEXT, "Who answers for this mapping."),
        "include": (
            some({"type": "string"}),
            "Shared files, as paths below the mappings folder. What stands here wins.",
        ),
        "product": (of("product"), "Whose alerts these are; for `bridge sources` and its pages."),
        "match": (_CONDITION, "Which deliveries are meant for this mapping; others wait in quarantine. Paths only."),
        "each": (of("each"), "Where one delivery holds many alerts: all below sees one at a time."),
        "extract": (
            map_of(_EXPRESSION, propertyNames={"pattern": whole(EXTRACT_NAME.pattern)}, maxProperties=EXTRACTS_MAX),
            "Names for what is used below. A line may use the lines before it.",
        ),
        "time": (_EXPRESSION, "When it happened, by the source's clock; orders the alerts of a correlation."),
        "personal": (some({"type": "string"}), "The extracts that hold personal data."),
        "severity": (of("severity"), "How bad it is: critical, high, medium, low or info."),
        "correlation": (of("correlation"), "What makes two alerts the same problem, and how its incident lives."),
        "suppress": (some(of("suppress")), "Alerts that are counted and do nothing else."),
        "route": (some(of("route")), "Where incidents go; the first match wins, decided once per episode."),
        "fields": (of("fields"), "What is written to ServiceNow."),
        "observables": (
            map_of(some(_EXPRESSION), propertyNames={"pattern": whole(COLUMN.pattern)}),
            "Addresses, hashes, users and the like, by kind.",
        ),
        "tests": ({"type": "array", "items": of("test")}, "What must hold; run by `bridge mapping test`."),
        "attach": ({"type": "boolean"}, "The alert as it came, attached to the incident once."),
        "outputs": (
            map_of(of("output"), propertyNames={"pattern": whole(NAME.pattern)}, maxProperties=OUTPUTS_MAX),
            "What is sent once beside a new incident: events, enrichment.",
        ),
    },
    "product": {
        "name": (_TEXT, "As people call it."),
        "sends": (_TEXT, "What of it is mapped."),
        "confirmed": (_TEXT, "Which real bodies were seen."),
        "unconfirmed": (_TEXT, "What was written without one, and from what."),
        "not_mapped": (some(_TEXT), "What it also sends, and is not mapped."),
        "calls_from": ({"enum": list(CALLS_FROM)}, "cloud: from the internet; network: from beside the bridge."),
        "auth": (some(of("product auth")), "How it can prove itself, the best first."),
        "retries": (_TEXT, "What it does with a delivery that fails."),
        "setup": (some({"anyOf": [_TEXT, of("product step")]}), "What to do in the product, step by step."),
        "notes": (some(_TEXT), "What else whoever connects it must know."),
    },
    "product auth": {
        "scheme": ({"enum": list(SCHEMES)}, "As `auth` of a source in bridge.yaml."),
        "preset": ({"enum": list(PRESETS)}, "Of hmac: whose way of signing it is."),
        "name": (_TEXT, "Of header or query: the name of the header or parameter."),
        "prefix": (_TEXT, "What stands before the secret or signature."),
        "username": (_TEXT, "Of basic; the source's name when left out."),
        "header": (_TEXT, "Of hmac or mtls: the header that carries it."),
        "hash": (_TEXT, "Of hmac."),
        "encoding": (_TEXT, "Of hmac."),
        "template": (_TEXT, "Of hmac: what is signed."),
        "order": (_TEXT, "Of hmac with the preset crowdstrike."),
        "id_header": (_TEXT, "Of hmac."),
        "timestamp_header": (_TEXT, "Of hmac."),
        "tolerance": (_DURATION, "Of hmac."),
        "issuer": (_TEXT, "Of oidc: who signs the tokens."),
        "keys": (_TEXT, "Of oidc: the URL of the issuer's JWKS."),
        "audience": (_TEXT, "Of oidc: {{ url }}, where it is the source's URL."),
        "subject": (some(_TEXT), "Of oidc: whose tokens, where that is the same for all."),
        "envelope": ({"enum": list(ENVELOPES)}, "As `envelope` of a source; as the auth suggests when left out."),
        "secret": ({"const": "given"}, "The product makes the secret; it takes one of ours when left out."),
    },
    "product step": {
        "auth": (_TEXT, "Only for this way: its scheme, or its preset."),
        "do": (_TEXT, "The step; may hold {{ url }}, {{ header }}, {{ secret }}, {{ username }}, {{ source }}."),
    },
    "each": {
        "in": (_EXPRESSION, "Where the alerts are: .findings[]."),
        "limit": ({"type": "integer", "minimum": 1, "maximum": ALERTS_PER_DELIVERY_MAX}, "How many are taken."),
        "with": (
            map_of(_EXPRESSION, propertyNames={"pattern": whole(EXTRACT_NAME.pattern)}),
            "What each alert gets of the delivery around it: {account: .account} is read as .account.",
        ),
    },
    "severity": {
        "from": (_EXPRESSION, "Where the source says it."),
        "table": (map_of(_SEVERITY), "The source's words (in any case) and ours. Without it they are the same."),
        "default": (_SEVERITY, "For what the table does not have; medium when left out."),
        "ranges": (
            some(of("range")),
            "For numbers: [{gte: 9, to: critical}, {gte: 7, to: high}]; the first that holds wins.",
        ),
        "raise_to": (_BOUNDS, "At least this bad, when the condition holds."),
        "lower_to": (_BOUNDS, "At most this bad, when the condition holds."),
    },
    "range": {
        "when": (_CONDITION, "Only for such alerts."),
        "gt": (NUMBER, "Above."),
        "gte": (NUMBER, "From, this number included."),
        "lt": (NUMBER, "Below."),
        "lte": (NUMBER, "Up to, this number included."),
        "to": (_SEVERITY, "What such a number is."),
    },
    "correlation": {
        "id": (_TEXT, 'Names one problem: "{{ rule }}:{{ host }}". An empty part sends the alert to quarantine.'),
        "display": (_TEXT, "The product's name, as the incident shows it."),
        "update_every": (some(_DURATION), "Repeats in between are counted, then told once; the last one repeats."),
        "reopen": (of("reopen"), "What a return after the close does."),
        "after_person": (of("after_person"), "How long repeats stay quiet after a person closed it."),
        "close_when": (_CONDITION, "When the source says that it is over."),
        "close_after": (_DURATION, "Quiet time before closing; 0s when left out."),
        "join": (some(of("join")), "An open incident with the same values takes the alert in."),
        "formerly": (some(_TEXT), "The id as it was before, or all that it was; incidents are carried over."),
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
        "same": (some(_EXPRESSION), "Extracts that must be equal, and not empty."),
        "within": (_DURATION, "How old the other incident may be."),
    },
    "suppress": {
        "name": (_TEXT, "Shown with every alert it suppressed."),
        "reason": (_TEXT, "Why, for whoever asks later."),
        "ticket": (_TEXT, "Where it was agreed."),
        "until": (_DATE, "The last day, at most twelve months away."),
        "permanent": ({"const": True}, "It has no end."),
        "when": (_CONDITION, "What is suppressed."),
        "window": (of("window"), "Only in these hours."),
    },
    "window": {
        "days": (some({"enum": list(DAYS)}), "Days of the week; over midnight, those on which it begins."),
        "from": (_CLOCK, 'When it begins: "22:00".'),
        "to": (_CLOCK, 'When it ends: "04:00"; before `from`, on the next day.'),
        "tz": ({"type": "string"}, "Whose clock: Europe/Berlin."),
    },
    "route": {
        "when": (_CONDITION, "Without it the route takes all that is left."),
        "to": ({"type": "string", "pattern": whole(NAME.pattern)}, "A target of bridge.yaml, or drop."),
        "assignment_group": (_TEXT, "The group's name; left out, ServiceNow's assignment rules decide."),
        "else_group": (_TEXT, "When the group is unknown, inactive or ambiguous."),
    },
    "fields": {
        "create": (of("columns"), "Columns and texts of a new incident."),
        "update": (of("update_columns"), "All that an update writes."),
        "close": (of("columns"), "What a close writes besides state and close code."),
        "reopen": (of("columns"), "What a reopen writes besides the state."),
        "on": (of("on"), "What one table needs and the other does not."),
    },
    "on": {
        "sir": (of("on table"), "Security incidents (sn_si_incident)."),
        "itsm": (of("on table"), "ITSM incidents (incident)."),
    },
    "on table": {kind: (of("update_columns" if kind == "update" else "columns"), f"At the {kind}.") for kind in KINDS},
    "value table": {
        "by": (_EXPRESSION, "What is looked up: severity, or a name or path."),
        "table": (map_of(_TEXT), "Values (in any case) and the text for each."),
        "default": (_TEXT, "For all others; nothing when left out."),
    },
    "find": {
        "find": ({"type": "string", "pattern": whole(COLUMN.pattern)}, "The table to look in: cmdb_ci_computer."),
        "by": (map_of(_TEXT, minProperties=1), "Columns and texts that must all match."),
        "else": ({"anyOf": [{"const": "none"}, of("find")]}, "When none matches, or more than one."),
    },
    "output": {
        "when": (_CONDITION, "Only for such alerts."),
        "event": (of("event"), "An event for Event Management."),
        "ci_enrichment": (of("enrichment"), "What is known of a configuration item."),
        "observable_enrichment": (of("enrichment"), "What is known of an observable."),
        "threat_lookup": (of("enrichment"), "What a threat look-up found."),
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
        "additional_info": (map_of(_VALUE, minProperties=1), "Names and texts; sent as a JSON object."),
        "time_of_event": (_VALUE, "2027-03-31 22:00:00, in GMT; when the alert was last seen, when left out."),
    },
    "enrichment": {
        "fields": (
            map_of(of("field"), propertyNames={"pattern": whole(COLUMN.pattern)}, minProperties=1),
            "Columns of the result's table, and texts.",
        ),
        "enrichment_mapping_id": (
            {"type": "string", "pattern": whole(SYS_ID.pattern)},
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
        "then": (some(of("step")), "Steps on a fake clock."),
    },
    "step": {
        "after": (_DURATION, "Since the step before; the alert comes again."),
        "wait": (_DURATION, "Since the step before; nothing comes."),
        **_STEP,
    },
}

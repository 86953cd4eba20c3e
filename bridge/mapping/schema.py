"""A JSON Schema of mapping files, for editors: it completes keys, tells what they mean, marks what is misspelt. Pure.

Its keys are those of SECTIONS, so it takes what the compiler takes. It is draft 7, the newest that the YAML extension
of VS Code knows. It says less than `bridge check`: what stands inside an expression or a text is not looked at.
"""

from __future__ import annotations

from bridge.alert import SEVERITY_OF
from bridge.mapping.evaluate import FACTS
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.model import (
    COLUMN,
    DURATION,
    EXPECTATIONS,
    FILE,
    NEVER_UPDATED,
    NEVER_WRITTEN,
    OUTPUT_FIELD,
    SECTIONS,
)
from bridge.mapping.words import EXPECTED, NUMBER, REQUIRED, WORDS, Schema, definition_name, map_of, of, some, whole

DRAFT = "http://json-schema.org/draft-07/schema#"


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
            **{
                definition_name(section): _section(section)
                for section in SECTIONS
                if section not in ("mapping", "shared")
            },
        },
    }


def _section(section: str) -> Schema:
    """A map with the keys of SECTIONS, each with what is known of it here."""
    rows = WORDS["mapping" if section == "shared" else section] if section in WORDS else {}
    properties = {}
    for key in SECTIONS[section][0].split():
        shape, words = rows.get(key, ({}, ""))
        properties[key] = ({"description": words} if words else {}) | shape
    result: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return result | ({"required": list(REQUIRED[section])} if section in REQUIRED else {})


def _columns(never: frozenset[str]) -> Schema:
    refused = dict.fromkeys(sorted({"assignment_group", *never}), False)
    return map_of(of("field"), properties=refused, propertyNames={"pattern": whole(COLUMN.pattern)})


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
            "pattern": whole(DURATION.pattern),
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
                    "properties": {key: of("condition") for key in ("any", "all", "not")},
                    "patternProperties": {
                        r"\|exists$": {"type": "boolean"},
                        r"\|(?:gt|gte|lt|lte)(?:\|all)?$": some(NUMBER),
                        r"^severity\|at_(?:least|most)$": of("severity_word"),
                        r"^severity$": some(of("severity_word")),
                    },
                    "additionalProperties": some(scalar),
                },
                {"type": "array", "items": of("condition")},
            ],
        },
        "field": {"anyOf": [of("text"), of("value table"), of("find")]},
        "columns": _columns(NEVER_WRITTEN),
        "update_columns": _columns(NEVER_WRITTEN | NEVER_UPDATED),
        "expect": {
            "type": "object",
            "minProperties": 1,
            "properties": {key: EXPECTED.get(key, scalar) for key in EXPECTATIONS},
            "patternProperties": {r"^fields\.": scalar, whole(OUTPUT_FIELD.pattern): scalar},
            "additionalProperties": False,
        },
    }

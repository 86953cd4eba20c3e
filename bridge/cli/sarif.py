"""SARIF 2.1.0: what `bridge check` found, for code hosts and editors that show it beside the line. Pure."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from bridge.alert import Json
from bridge.mapping.lint.registry import LINTS

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
DOCS = "docs/lints.md"
ERROR = "IB000"  # the rule of whatever is no lint


def sarif(found: list[Json]) -> Json:
    """One run. `found` are the objects of `--json`."""
    rules = [
        _rule(ERROR, "error", "The configuration or a mapping cannot be used.", "error"),
        *(_rule(ident, lint.name, lint.says, "warning") for ident, lint in LINTS.items()),
    ]
    index = {rule["id"]: at for at, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "bridge", "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, index) for one in found],
            }
        ],
    }


def _rule(ident: str, name: str, says: str, level: str) -> Json:
    return {
        "id": ident,
        "name": name,
        "shortDescription": {"text": says},
        "helpUri": f"{DOCS}#{ident.lower()}-{name}",
        "defaultConfiguration": {"level": level},
    }


def _result(one: Json, index: dict[str, int]) -> Json:
    ident = one["id"] or ERROR
    text = one["message"] + (f" ({one['hint']})" if one["hint"] else "")
    place: Json = {"artifactLocation": {"uri": _uri(one["file"])}}
    if one["line"]:
        place["region"] = {"startLine": one["line"]} | ({"startColumn": one["column"]} if one["column"] else {})
    return {
        "ruleId": ident,
        "ruleIndex": index[ident],
        "level": one["level"],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    """Relative to where the command ran, as the places of the text are."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())

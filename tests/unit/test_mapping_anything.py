"""Whatever a person writes in a mapping is compiled or refused with places, and what compiles takes whatever comes."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from small_mapping import FACTS, NOW

from bridge.correlation.policy import Kind
from bridge.errors import Misconfigured, Unmappable
from bridge.mapping.compile import Mapping
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.load import compile_files
from bridge.mapping.model import OUTPUT_BYTES_MAX, SECTIONS
from bridge.yamlfile import parse_yaml

FOLDER = Path(__file__).parent / "mapping_examples"
FILES = {
    path.relative_to(FOLDER).as_posix(): path.read_text("utf-8")
    for path in (*FOLDER.glob("_shared/*.yaml"), *FOLDER.glob("lookups/*.csv"))
} | {"lookups/t.csv": "a,b\nx,y\n"}
ALERTS = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("samples/*.json"))]
ELASTIC, SECURITYHUB = (
    parse_yaml((FOLDER / f"{name}.yaml").read_bytes(), name).value for name in ("elastic", "aws-securityhub")
)
RANGES = {
    "from": ".a",
    "ranges": [
        {"when": {".b": "x"}, "gte": 7, "to": "high"},
        {"gte": 9, "to": "critical"},
        {"gt": 1, "lt": 5, "to": "low"},
    ],
}
EXAMPLES = [
    ("elastic", ELASTIC),
    ("elastic", ELASTIC | {"attach": True, "severity": RANGES}),
    ("aws-securityhub", SECURITYHUB),
    ("aws-securityhub", SECURITYHUB | {"each": SECURITYHUB["each"] | {"with": {"from": ".a", "b": '.b ?? "c"'}}}),
]
WORDS = sorted({word for keys, later in SECTIONS.values() for word in f"{keys} {later}".split()})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["high", "4h", "0s", "none", "drop", "itsm", "t.a", "22:00", "UTC", "sat", "2026-12-31", "{{ .a }}", ".a"]
    )
    | st.text('.[]{}|?"=(),:~ab\\ ', max_size=12)
)
KEYS = st.sampled_from(
    [*WORDS, ".a", ".a|re", ".a|cidr", ".a|in_lookup", "severity|at_least", "high", "a", "u_x", "not", "any"]
) | st.text(max_size=3).filter(lambda text: text.isprintable())
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.sampled_from(["x", "10.0.0.1", "2026-11-24T21:05:00Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
WHOLE = {
    "mapping": "m",
    "version": 1,
    "owner": "o",
    "extract": {"a": ".a", "b": '.b ?? "none"'},
    "correlation": {"id": "{{ .a }}"},
    "route": [{"to": "itsm"}],
    "fields": {"create": {"u_x": "{{ .a }}"}},
}


def compiled(content: dict[str, Any], name: str = "m") -> Mapping | None:
    """A mapping from plain data, for JSON is YAML; None when it was refused with places."""
    try:
        return compile_files(name, {f"{name}.yaml": json.dumps(content), **FILES})
    except Misconfigured as error:
        assert error.problems  # noqa: PT017
        assert all(problem.line for problem in error.problems)  # noqa: PT017
        return None


def take(mapping: Mapping, document: Any) -> None:
    with suppress(Unmappable):
        mapping.split(document)
    with suppress(Unmappable):
        mapping.map(document, now=NOW)
    for kind in Kind:
        rendered = mapping.render(document, kind, FACTS, "incident", severity_rose=True)
        assert sum(len(text.encode()) for text in rendered.fields.values()) <= OUTPUT_BYTES_MAX


@settings(max_examples=200)
@given(st.sampled_from(SECTIONS["mapping"][0].split()), VALUES, DOCUMENTS)
def test_any_value_of_a_section_is_compiled_or_refused(section: str, value: Any, document: Any) -> None:
    if mapping := compiled({**WHOLE, section: value}):
        take(mapping, document)


@st.composite
def mutated(draw: Any, value: Any) -> Any:
    """The value with one place of it replaced, taken out or renamed."""
    value = deepcopy(value)
    node = value
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = draw(st.sampled_from(keys))
        inner = node[key]
        if isinstance(inner, (dict, list)) and inner and draw(st.integers(0, 3)):
            node = inner
            continue
        change = draw(st.sampled_from(["replace", "take out", "rename"]))
        if change == "rename" and isinstance(node, dict):
            node[draw(KEYS)] = node.pop(key)
        elif change == "take out":
            del node[key]
        else:
            node[key] = draw(VALUES)
        return value


@settings(max_examples=150)
@given(st.data())
def test_an_example_with_a_mistake_is_compiled_or_refused(data: st.DataObject) -> None:
    name, example = data.draw(st.sampled_from(EXAMPLES))
    if mapping := compiled(data.draw(mutated(example)), name):
        take(mapping, data.draw(mutated(data.draw(st.sampled_from(ALERTS)))))


SOURCES = st.sampled_from([".a", ".a.b", ".a[0]", ".a[].b", ".", '"x"', "a", "b"])
ARGUMENTS = {
    "truncate": st.integers(0, 70_000).map(str),
    "hash": st.integers(0, 70).map(str),
    "regex": st.sampled_from(['"a+"', '"(a)(b)?", 2', '"("', '"(?P<n>x)", 1', '"\\\\pL"', '"^$"']),
    "replace": st.sampled_from(['"a", "bb"', '"", "x"', '"x", ""']),
    "split": st.sampled_from(['""', '":"']),
    "default": st.sampled_from(['"x"', '""']),
    "date": st.sampled_from(['"%Y"', '"%Q"', '"%"', '"ü%%"']),
    "join": st.sampled_from(['""', '"-"']),
    "pick": st.sampled_from(['"x", by=a, take=b', '"", by=a, take=b', '"x", by="a", take=a', '"x"', "x, by=a, take=b"]),
    "lookup": st.sampled_from(["t, by=a, take=b", "t, by=b, take=b", "t, by=c, take=b", "u, by=a, take=b"]),
}


@st.composite
def expressions(draw: Any) -> str:
    alternatives = []
    for _ in range(draw(st.integers(1, 3))):
        text = draw(SOURCES)
        for name in draw(st.lists(st.sampled_from(sorted(FUNCTIONS)), max_size=4)):
            arguments = draw(ARGUMENTS.get(name, st.just("")))
            text += f" | {name}({arguments})" if arguments else f" | {name}"
        alternatives.append(text)
    return " ?? ".join(alternatives)


@settings(max_examples=200)
@given(st.lists(expressions(), min_size=1, max_size=3), DOCUMENTS)
def test_any_expression_is_compiled_or_refused(sources: list[str], document: Any) -> None:
    extract = {**WHOLE["extract"], **{f"x{n}": source for n, source in enumerate(sources)}}  # type: ignore[dict-item]
    names = [f"x{n}" for n in range(len(sources))]
    content = {
        **WHOLE,
        "extract": extract,
        "time": " ?? ".join(names),
        "severity": {"from": names[0], "ranges": [{"gte": 5, "to": "high"}]},
        "correlation": {
            "id": '{{ .a }}{{ x0 ?? "" }}',
            "formerly": "{{ x0 }}",
            "join": [{"same": names, "within": "4h"}],
        },
        "fields": {"create": {"u_x": "".join(f"{{{{ {name} }}}}" for name in names)}},
        "observables": {"ip": names},
    }
    if mapping := compiled(content):
        take(mapping, document)

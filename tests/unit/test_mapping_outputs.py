"""The `outputs:` of a mapping: what is refused, what is rendered, and what every tool says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from linting import lines_told, with_sections
from small_mapping import ALERT, FACTS, mapping, problems

from bridge.alert import Severity
from bridge.correlation.policy import Kind
from bridge.mapping.coverage import Coverage, Sort
from bridge.mapping.explain import Setting, explain
from bridge.mapping.load import compile_files
from bridge.mapping.model import OUTPUT_BYTES_MAX
from bridge.mapping.outputs import EVENT_SEVERITY
from bridge.mapping.page import page
from bridge.mapping.recording import Recorder
from bridge.mapping.rendered import Find, RenderedOutput
from bridge.mapping.trial import TABLES
from bridge.sources.document import Document

SYS_ID = "0123456789abcdef0123456789abcdef"
ALWAYS = {"source": "m", "severity": "2", "message_key": "r:h", "time_of_event": "2026-11-24 21:05:00"}

MISTAKES = {
    "nothing in it": ("", "10:1: a map of name: output is expected here ({alarm: "),
    "no map": ("alarm", "11:3: a map of name: output is expected here ({alarm: "),
    "no output": ("alarm: x", "a map with the keys when, event, ci_enrichment"),
    "nothing at all": ("alarm: {}", "this output says nothing of what it is (it is one of event, ci_enrichment"),
    "a condition alone": ("alarm: {when: {.a: b}}", "11:3: this output says nothing of what it is"),
    "two things": ("a: {event: {}, threat_lookup: {fields: {x: y}}}", "this output has `event` and `threat_lookup`"),
    "a mistyped kind": ("a: {evnt: {node: x}}", "11:7: there is no key `evnt` here (did you mean `event`?)"),
    "a mistyped key": ("a: {event: {nod: x}}", "11:15: there is no key `nod` here (did you mean `node`?)"),
    "a name": ("A b: {event: {}}", "11:3: `A b` is not a name (lower-case letters, digits, - and _)"),
    "an empty name": ('"": {event: {}}', "11:3: `` is not a name"),
    "an empty value": ('a: {event: {node: ""}}', "a text is expected here, and it is empty"),
    "no event": ("a: {event: x}", "a map with the keys source, node"),
    "a severity in words": ("a: {event: {severity: high}}", "11:25: `high` is not the severity of an event (1"),
    "a severity of a table": (
        "a: {event: {severity: {by: severity, table: {critical: 0, high: 6}, default: 9}}}",
        "`6` is not the severity of an event",
    ),
    "a default severity": ("a: {event: {severity: {by: .a, table: {x: 1}, default: 9}}}", "`9` is not the severity"),
    "a time in words": ("a: {event: {time_of_event: yesterday}}", "`yesterday` is not a time (the path"),
    "the bridge's own name": ("a: {event: {additional_info: {incident_bridge_ref: x}}}", "is the bridge's own"),
    "a parameter as a column": (
        "a: {threat_lookup: {fields: {include_wrap: x}}}",
        "`include_wrap` is not a column that can be sent (it stands beside `fields`)",
    ),
    "a sys_id as a column": ("a: {threat_lookup: {fields: {sys_id: x}}}", "`sys_id` is not a column that can be sent"),
    "a find in an event": ("a: {event: {node: {find: cmdb_ci, by: {name: x}}}}", "there is no key `find` here"),
    "information that is no map": ("a: {event: {additional_info: x}}", "a map of name: text is expected here"),
    "empty information": ("a: {event: {additional_info: {}}}", "a map of name: text is expected here"),
    "a nameless piece of it": ('a: {event: {additional_info: {" ": x}}}', "a name is expected here, and it is empty"),
    "a condition of the wrong time": ("a: {when: {repeat_count|gt: 2}, event: {}}", "`repeat_count` is not known yet"),
    "neither": ("a: {threat_lookup: {}}", "11:7: this enrichment says nothing of what is sent (`fields`: columns"),
    "a flag alone": ("a: {ci_enrichment: {include_wrap: true}}", "this enrichment says nothing of what is sent"),
    "both": (
        f"a: {{threat_lookup: {{fields: {{x: y}}, enrichment_mapping_id: {SYS_ID}}}}}",
        "this enrichment has both `fields` and `enrichment_mapping_id`",
    ),
    "no fields": ("a: {threat_lookup: {fields: {}}}", "a map of column: text is expected here"),
    "a column": ("a: {threat_lookup: {fields: {Finding: x}}}", "`Finding` is not a column's name"),
    "a short sys_id": ("a: {threat_lookup: {enrichment_mapping_id: abc}}", "11:46: `abc` is not a sys_id (32"),
    "a sys_id of digits": (f"a: {{threat_lookup: {{enrichment_mapping_id: {'1' * 32}}}}}", "in quotes when all"),
    "raw_data of fields": ("a: {threat_lookup: {fields: {x: y}, raw_data: z}}", "11:39: `raw_data` is for a data map"),
    "a flag": ("a: {threat_lookup: {fields: {x: y}, include_wrap: 1}}", "11:53: `include_wrap` is true or false"),
    "too many": ("\n".join(f"o{n}: {{event: {{}}}}" for n in range(11)), "has 11 outputs; at most 10 are taken"),
    "an unknown name": ("a: {event: {node: '{{ hots }}'}}", "there is no name `hots`"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_to_do(text: str, expected: str) -> None:
    told = problems(outputs=text)
    assert [problem for problem in told if expected in problem], told


def test_the_incident_is_known_to_outputs_alone() -> None:
    (told,) = problems(fields='create: {u_x: "{{ incident_sys_id }}"}')
    assert "`incident_sys_id` is not known yet where this is worked out" in told


def sent(outputs: str, alert: object = ALERT, **facts: Any) -> RenderedOutput:
    (only,) = mapping(outputs=outputs).outputs_of(alert, replace(FACTS, **facts))
    return only


# --- events


def test_an_event_says_of_itself_what_the_mapping_leaves_out() -> None:
    assert sent("a: {event: {}}").fields == ALWAYS


def test_a_source_is_the_display_of_the_mapping() -> None:
    compiled = mapping(correlation='{id: "{{ .rule }}", display: Doorman}', outputs="a: {event: {}}")
    assert compiled.outputs_of(ALERT, FACTS)[0].fields["source"] == "Doorman"


@pytest.mark.parametrize(
    ("said", "is_sent"),
    [
        ("2026-11-24T22:01:02.5+01:00", "2026-11-24 21:01:02"),
        ("2026-11-24 21:01:02", "2026-11-24 21:01:02"),
        ("{{ .nothing }}", ALWAYS["time_of_event"]),
        ("{{ .rule }}", ALWAYS["time_of_event"]),
    ],
    ids=["with a zone", "as it is sent", "nothing", "no time"],
)
def test_the_time_is_sent_as_event_management_reads_it(said: str, is_sent: str) -> None:
    assert sent(f'a: {{event: {{time_of_event: "{said}"}}}}').fields["time_of_event"] == is_sent


@pytest.mark.parametrize("severity", Severity)
def test_the_severity_is_that_of_the_alert(severity: Severity) -> None:
    assert sent("a: {event: {}}", severity=severity).fields["severity"] == EVENT_SEVERITY[severity]


def test_every_severity_has_its_digit_and_a_worse_one_the_smaller() -> None:
    assert [EVENT_SEVERITY[severity] for severity in sorted(Severity, reverse=True)] == ["1", "2", "3", "4", "5"]


EVENTS = [
    ("a text", 'node: "{{ .host }}"', {"node": "h"}),
    ("what is empty is left out", 'node: "{{ .nothing }}"', {}),
    ("an empty key is the correlation's", 'message_key: "{{ .nothing }}"', {}),
    ("a key of its own", "message_key: k", {"message_key": "k"}),
    ("a table", "severity: {by: .rule, table: {r: 5}, default: 0}", {"severity": "5"}),
    ("a severity that an alert brings", 'severity: "{{ .digit }}"', {"severity": "4"}),
    ("a severity that is none", 'severity: "{{ .word }}"', {}),
    ("what is long is cut", 'node: "{{ .long }}"', {"node": "x" * 99 + "…"}),
    ("the incident", 'description: "{{ incident_number }} {{ incident_sys_id }}"', {"description": "INC1 ab"}),
    (
        "information",
        'additional_info: {a: "{{ .rule }}", b: "{{ .nothing }}", "c d": é}',
        {"additional_info": '{"a":"r","c d":"é"}'},
    ),
    ("no information", 'additional_info: {b: "{{ .nothing }}"}', {}),
    ("control characters", 'node: "{{ .odd }}"', {"node": "ab"}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_an_event_has_text_at_every_key(line: str, expected: dict[str, str]) -> None:
    alert = {**ALERT, "digit": 4, "word": "high", "long": "x" * 200, "odd": "a\x00b"}
    one = sent(f"a: {{event: {{{line}}}}}", alert, incident_number="INC1", incident_sys_id="ab")
    assert one.fields == ALWAYS | expected


def test_a_huge_piece_of_information_leaves_it_json() -> None:
    one = sent('a: {event: {additional_info: {a: "{{ .a }}", b: "{{ .a }}"}}}', {"a": "x" * OUTPUT_BYTES_MAX * 2})
    assert set(json.loads(one.fields["additional_info"])) == {"a", "b"}


# --- enrichment


def test_columns_are_texts_tables_and_records_to_find() -> None:
    one = sent('a: {ci_enrichment: {fields: {x: "{{ .rule }}", cmdb_ci: {find: cmdb_ci, by: {name: "{{ .host }}"}}}}}')
    assert one.fields == {"x": "r"}
    assert one.finds == {"cmdb_ci": Find(table="cmdb_ci", by=(("name", "h"),))}


def test_the_parameters_that_are_true_go_along() -> None:
    flags = "ignore_mandatory_fields: true, include_wrap: false, simple_response: true"
    one = sent(f"a: {{threat_lookup: {{fields: {{x: y}}, {flags}}}}}")
    assert one.flags == ("ignore_mandatory_fields", "simple_response")


def test_a_data_map_reads_the_whole_alert() -> None:
    one = sent(f"a: {{threat_lookup: {{enrichment_mapping_id: {SYS_ID}}}}}", {**ALERT, "n": 2**70, "t": "ä" * 70_000})
    assert one.fields["enrichment_mapping_id"] == SYS_ID
    assert json.loads(one.fields["raw_data"]) == {**ALERT, "n": 2**70, "t": "ä" * 70_000}


def test_a_data_map_reads_what_the_mapping_gives_it() -> None:
    one = sent(f'a: {{threat_lookup: {{enrichment_mapping_id: {SYS_ID}, raw_data: "<a>{{{{ .rule }}}}</a>"}}}}')
    assert one.fields["raw_data"] == "<a>r</a>"


@pytest.mark.parametrize(
    "section", ['fields: {x: "{{ .nothing }}"}', f'enrichment_mapping_id: {SYS_ID}, raw_data: "{{{{ .nothing }}}}"']
)
def test_nothing_to_send_is_seen(section: str) -> None:
    assert sent(f"a: {{threat_lookup: {{{section}}}}}").is_empty


# --- which are sent


CONDITIONAL = """\
bad: {when: {severity|at_least: high}, event: {node: "{{ .host }}"}}
any: {threat_lookup: {fields: {finding: "{{ .rule }}"}}}"""


@pytest.mark.parametrize(("severity", "names"), [(Severity.HIGH, ["bad", "any"]), (Severity.LOW, ["any"])])
def test_those_whose_condition_holds_are_sent_in_the_order_of_the_file(severity: Severity, names: list[str]) -> None:
    found = mapping(outputs=CONDITIONAL).outputs_of(ALERT, replace(FACTS, severity=severity))
    assert [one.name for one in found] == names


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.NOTHING])
def test_only_a_create_brings_them(kind: Kind) -> None:
    rendered = mapping(outputs=CONDITIONAL).render(ALERT, kind, FACTS, "incident")
    assert len(rendered.outputs) == (2 if kind is Kind.CREATE else 0)


def test_a_shared_file_gives_outputs_and_the_own_ones_win() -> None:
    text = """
mapping: m
version: 1
owner: soc@corp.example
include: [_shared/outputs.yaml]
correlation: {id: "{{ .rule }}"}
route: [{to: itsm}]
fields: {create: {u_x: y}}
outputs: {a: {event: {node: own}}}
"""
    shared = "outputs: {a: {event: {node: theirs}}, b: {event: {node: theirs}}}\n"
    compiled = compile_files("m", {"m.yaml": text, "_shared/outputs.yaml": shared})
    found = {one.name: one.fields["node"] for one in compiled.outputs_of({"rule": "r"}, FACTS)}
    assert found == {"a": "own", "b": "theirs"}


# --- what the tools say


WHOLE = """\
mapping: m
version: 1
owner: soc@corp.example
severity: {from: .level}
correlation: {id: "{{ .rule }}"}
route: [{to: itsm}]
fields: {create: {u_x: "{{ .rule }}"}}
outputs:
  bad:
    when: {severity|at_least: high}
    event:
      node: "{{ .host ?? .ip }}"
      severity: {by: severity, table: {critical: 1}, default: 2}
  found: {ci_enrichment: {fields: {cmdb_ci: {find: cmdb_ci, by: {name: "{{ .host }}"}}}}}
"""
SETTING = Setting(now=FACTS.now, source="m", tables=TABLES)


def explained(**alert: str) -> list[dict[str, Any]]:
    recorder = Recorder()
    compiled = compile_files("m", {"m.yaml": WHOLE}, watch=recorder)
    told = explain(compiled, recorder, Document(value={"rule": "r", **alert}, within_limits=True), 0, SETTING)
    (section,) = [section for section in told.sections if section.name == "outputs"]
    return [
        {
            "what": step.what,
            "place": step.place,
            "verdict": step.verdict,
            "parts": {p.what: p.value for p in step.parts},
        }
        for step in section.steps
    ]


def test_an_explanation_has_each_output_with_its_condition_and_its_fields() -> None:
    bad, found = explained(level="high", host="h")
    assert (bad["what"], bad["place"], bad["verdict"]) == ("bad: event", "m.yaml:9", "taken")
    assert bad["parts"]["severity|at_least: high"] == "high"
    assert (bad["parts"]["node"], bad["parts"]["severity"], bad["parts"]["message_key"]) == ("h", "2", "r")
    assert found["parts"] == {"cmdb_ci": Find(table="cmdb_ci", by=(("name", "h"),))}


def test_an_explanation_says_which_is_not_sent() -> None:
    bad, _ = explained(level="low", host="h")
    assert (bad["verdict"], bad["parts"]) == ("lost", {"severity|at_least: high": "low"})


def test_coverage_counts_outputs_and_the_rows_of_their_tables() -> None:
    recorder = Recorder()
    compiled = compile_files("m", {"m.yaml": WHOLE}, watch=recorder)
    coverage = Coverage(recorder)
    for level in ("low", "high"):
        document = Document(value={"rule": "r", "level": level, "ip": "i"}, within_limits=True)
        coverage.count_alert(compiled, document, 0, SETTING)
    hits = {point.what: point.hits for point in coverage.points()}
    assert (hits["outputs.bad"], hits["outputs.found"]) == (1, 2)
    assert hits["outputs.bad.event.severity.default: 2"] == 1
    assert hits["outputs.bad.event.severity.table.critical: 1"] == 0
    assert hits["outputs.bad.event.node: .ip"] == 1
    assert {point.sort for point in coverage.points() if point.what == "outputs.bad"} == {Sort.OUTPUT}


def test_the_page_of_a_mapping_has_them() -> None:
    compiled = compile_files("m", {"m.yaml": WHOLE})
    told = page(compiled, compiled.tree, "").partition("## Sent beside the incident, once")[2]
    assert "| `bad` | event | `severity\\|at_least: high` | `node` | `{{ .host ?? .ip }}` |" in told
    assert "| `found` | ci enrichment | always | `fields` | `cmdb_ci`: " in told


def test_lints_look_into_them() -> None:
    outputs = """
outputs:
  a: {event: {node: "{{ .hots }}"}}                    # here
  b: {event: {node: .host}}
  c: {event: {node: "x is a1b2c3d4e5f60718293a4b5c6d7e8f90"}}
  d: {when: {level: high}, event: {node: "{{ host }}"}}
"""
    text = with_sections(outputs).replace("extract:\n", "extract:\n  level: .level\n")
    lines = text.splitlines()
    at = {line.strip()[:1]: number for number, line in enumerate(lines, 1) if line.startswith("  ") and "event" in line}
    assert at["a"] in lines_told("IB401", text)
    assert lines_told("IB404", text) == [at["b"]]
    assert lines_told("IB603", text) == [at["c"]]
    assert lines_told("IB402", text) == []  # a condition names the level

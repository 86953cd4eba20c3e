"""What a mapping makes of alerts: split, map and render, and that none of it ever raises but Unmappable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_mapping import ALERT, DEFAULTS, FACTS, NOW, mapping, value_of

from bridge.alert import Observable, Severity, Status
from bridge.correlation.policy import Kind
from bridge.errors import Unmappable
from bridge.mapping.compile import NO_ROUTE
from bridge.mapping.model import EXTRACTS_MAX, OUTPUT_BYTES_MAX
from bridge.mapping.pattern import PATTERN_CHARS_MAX
from bridge.mapping.rendered import Find
from bridge.mapping.values import LIST_ITEMS_MAX
from bridge.yamlfile import YAML_BYTES_MAX


def holds(condition: str, alert: object, **sections: str) -> bool:
    compiled = mapping(**sections, route=f"[{{when: {condition}, to: yes-it-does}}]")
    return compiled.map(ALERT | alert if isinstance(alert, dict) else alert).target is not None


@pytest.mark.parametrize(
    ("expression", "alert", "text"),
    [
        (".a.b[1].c", {"a": {"b": [1, {"c": "x"}]}}, "x"),
        ('."a.b"', {"a.b": "flat", "a": {"b": "deep"}}, "flat"),
        (".a.b", {"a.b": "flat", "a": {"b": "deep"}}, "deep"),
        (".a[].b", {"a": [{"b": 1}, {}, {"b": 2}]}, "1, 2"),
        (".a[].b[].c", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": {"c": 3}}]}, "1, 2, 3"),
        (".a[0]", {"a": "one value is a list of one"}, "one value is a list of one"),
        (".a ?? .b", {"a": " ", "b": "x"}, "x"),
        (".a ?? .b", {"a": [], "b": "x"}, "x"),
        (".a ?? .b", {"a": False, "b": "x"}, "false"),
        (".a ?? .b", {"a": 0, "b": "x"}, "0"),
        (".endsAt | time ?? .startsAt", {"endsAt": "0001-01-01T00:00:00Z", "startsAt": "now"}, "now"),
        (".a | lower", {"a": ["B", "C"]}, "b, c"),
        (".a | upper", {"a": "b"}, "B"),
        (".a | title", {"a": "HIGH risk"}, "High Risk"),
        (".a | trim | json", {"a": " b "}, '"b"'),
        (".a | truncate(3)", {"a": "abcdef"}, "ab…"),
        ('.a | replace("b", "")', {"a": "abc"}, "ac"),
        ('.a | split(":") | last', {"a": "x:y:z"}, "z"),
        ('.a | split(":") | first', {"a": "x:y:z"}, "x"),
        ('.a | unique | join("+")', {"a": ["x", "y", "x"]}, "x+y"),
        ('.a | join(",") ?? "none"', {"a": []}, "none"),
        (".a | count", {"a": [1, 2]}, "2"),
        ('.a | default("d")', {}, "d"),
        (".a | number", {"a": "7.50"}, "7.5"),
        (".a | date", {"a": 1718797361}, "2024-06-19 11:42:41 UTC"),
        ('.a | date("%d.%m.%Y")', {"a": "2024-06-19"}, "19.06.2024"),
        (".a | hash(8)", {"a": "x"}, "2d711642"),
        (".a | basename", {"a": "C:\\Windows\\cmd.exe"}, "cmd.exe"),
        ('.a | regex("id=(\\d+)")', {"a": "x id=42"}, "42"),
        ('.a | regex("id=(\\d+)", 0)', {"a": "x id=42"}, "id=42"),
        ('.a | regex("nope")', {"a": "x"}, ""),
    ],
)
def test_an_expression_yields(expression: str, alert: dict[str, Any], text: str) -> None:
    assert value_of(expression, alert | ALERT) == text


def test_a_text_whose_holes_are_all_empty_is_nothing_in_an_extract() -> None:
    compiled = mapping(
        extract='user: "{{ .domain }}\\\\{{ .name }}"', fields="create: {u_x: '{{ user ?? \"nobody\" }}'}"
    )
    assert compiled.render(ALERT, Kind.CREATE, FACTS, "incident").fields == {"u_x": "nobody"}


@pytest.mark.parametrize(
    ("condition", "alert", "expected"),
    [
        ("{.x: abc}", {"x": "ABC"}, True),
        ("{.x: [a, b]}", {"x": "b"}, True),
        ("{.x: [a, b]}", {"x": "c"}, False),
        ("{.x: a, .y: b}", {"x": "a", "y": "c"}, False),
        ("{.x: 443}", {"x": "443"}, True),
        ("{.x: true}", {"x": True}, True),
        ("{.x: null}", {}, True),
        ("{.x: null}", {"x": "a"}, False),
        ("{'.x[].y': a}", {"x": [{"y": "b"}, {"y": "a"}]}, True),
        ("{'.x[]|all': [a, b]}", {"x": ["b", "c", "a"]}, True),
        ("{'.x[]|all': [a, b]}", {"x": ["b"]}, False),
        ("{.x|contains: [foo, BAR]}", {"x": "a bar"}, True),
        ("{.x|contains|all: [foo, bar]}", {"x": "a bar"}, False),
        ("{.x|startswith: AB}", {"x": "abc"}, True),
        ("{.x|endswith: [bc, x]}", {"x": "abc"}, True),
        ("{.x|re: '^a.c$'}", {"x": "abc"}, True),
        ("{.x|re: '^A'}", {"x": "abc"}, False),
        ("{.x|re: '.*'}", {}, False),
        ("{.x|cidr: [10.0.0.0/8, '2001:db8::/32']}", {"x": "10.9.8.7"}, True),
        ("{.x|cidr: [10.0.0.0/8, '2001:db8::/32']}", {"x": "2001:db8::1"}, True),
        ("{.x|cidr: 10.0.0.0/8}", {"x": "11.0.0.1"}, False),
        ("{.x|cidr: 0.0.0.0/0}", {"x": "not an address"}, False),
        ("{.x|cidr: 0.0.0.0/0}", {}, False),
        ("{.x|exists: true}", {"x": 0}, True),
        ("{.x|exists: true}", {"x": None}, False),
        ("{.x|exists: false}", {}, True),
        ("{.x|gte: 90}", {"x": "90"}, True),
        ("{.x|gt: 90}", {"x": 90}, False),
        ("{.x|lt: 90}", {"x": 89.5}, True),
        ("{.x|lte: 90}", {"x": "much"}, False),
        ("{any: [{.x: a}, {.y: b}]}", {"y": "b"}, True),
        ("{all: [{.x: a}, {.y: b}]}", {"y": "b"}, False),
        ("{not: {.x: a}}", {"x": "a"}, False),
        ("{not: {.x: a}}", {}, True),
        ("[{.x: a}, {.y: b}]", {"y": "b"}, True),
        ("{severity: medium}", {}, True),
        ("{severity|at_least: high}", {}, False),
        ("{severity|at_most: medium}", {}, True),
        ("{'.\"a|b\"|exists': true}", {"a|b": 1}, True),
    ],
)
def test_a_condition_holds(condition: str, alert: dict[str, Any], expected: bool) -> None:
    assert holds(condition, alert) is expected


def test_a_delivery_that_does_not_match_is_told_so() -> None:
    with pytest.raises(Unmappable) as caught:
        mapping(match="{.kind: x}").split({"kind": "y"})
    assert caught.value.code == "no_match"


def test_each_gives_the_elements_up_to_its_limit_and_says_that_there_were_more() -> None:
    compiled = mapping(each="{in: '.alerts[]', limit: 2}")
    assert compiled.split({"alerts": [1, 2]}) == ([1, 2], False)
    assert compiled.split({"alerts": [1, 2, 3]}) == ([1, 2], True)
    assert compiled.split({"alerts": []}) == ([], False)
    assert compiled.split({"alerts": {"one": 1}}) == ([{"one": 1}], False)


@pytest.mark.parametrize("document", [{}, {"alerts": None}, [], None, 7])
def test_each_of_a_delivery_without_the_list_is_told_so(document: object) -> None:
    with pytest.raises(Unmappable) as caught:
        mapping(each="{in: '.alerts[]'}").split(document)
    assert caught.value.code == "each_not_a_list"


@pytest.mark.parametrize("host", [None, "", "  ", "\x00\x1f", [], [""]])
def test_an_empty_part_of_the_id_is_named(host: object) -> None:
    with pytest.raises(Unmappable) as caught:
        mapping().map({"rule": "r", "host": host})
    assert caught.value.code == "empty_identity"
    assert "{{ .host }}" in caught.value.message


@pytest.mark.parametrize("host", [{"name": "h"}, ["a", "b"], [{"name": "h"}], [["a"]]])
def test_a_part_of_the_id_that_is_no_single_value_is_named(host: object) -> None:
    with pytest.raises(Unmappable) as caught:
        mapping().map({"rule": "r", "host": host})
    assert caught.value.code == "identity_not_one_value"
    assert "{{ .host }}" in caught.value.message


def test_an_empty_object_is_no_part_of_an_id() -> None:
    with pytest.raises(Unmappable) as caught:
        mapping().map({"rule": "r", "host": {}})
    assert caught.value.code == "empty_identity"


def test_a_list_of_one_value_is_that_value_in_the_id() -> None:
    assert mapping().map({"rule": "r", "host": ["h"]}).correlation_id == "r:h"


def test_a_list_is_a_part_of_the_id_where_the_mapping_joins_it() -> None:
    joined = mapping(correlation="{id: '{{ .rule }}:{{ .host | join(\",\") }}'}")
    assert joined.map({"rule": "r", "host": ["a", "b"]}).correlation_id == "r:a,b"


def test_a_former_id_with_a_part_that_is_no_single_value_is_none() -> None:
    formerly = mapping(correlation="{id: '{{ .rule }}', formerly: '{{ .host }}'}")
    assert formerly.map({"rule": "r", "host": ["a", "b"]}).former_ids == ()


def test_the_id_keeps_its_full_text_beside_the_short_form() -> None:
    mapped = mapping().map({"rule": "r" * 200, "host": "h"})
    assert (mapped.correlation_text, len(mapped.correlation_id)) == ("r" * 200 + ":h", 100)


def test_text_of_an_alert_is_never_read_as_holes() -> None:
    rendered = mapping().render({"rule": "{{ .host }}", "host": "h"}, Kind.CREATE, FACTS, "incident")
    assert rendered.fields == {"short_description": "{{ .host }}"}


SEVERITY = """from: .sev
table: {HIGH: high, Low: low, "4": critical}
default: info
raise_to: {critical: {.crown: true}}
lower_to: {low: {.env: dev}}"""


@pytest.mark.parametrize(
    ("alert", "severity"),
    [
        ({"sev": "High"}, Severity.HIGH),
        ({"sev": 4}, Severity.CRITICAL),
        ({"sev": 4.0}, Severity.CRITICAL),
        ({"sev": "odd"}, Severity.INFO),
        ({}, Severity.INFO),
        ({"sev": "low", "crown": True}, Severity.CRITICAL),
        ({"sev": "high", "env": "dev"}, Severity.LOW),
        ({"env": "dev"}, Severity.INFO),
    ],
)
def test_the_severity_of_an_alert(alert: dict[str, Any], severity: Severity) -> None:
    assert mapping(severity=SEVERITY).map(ALERT | alert).severity is severity


def test_without_a_severity_section_an_alert_is_medium() -> None:
    assert mapping().map(ALERT).severity is Severity.MEDIUM


def test_an_event_time_that_is_not_set_falls_on() -> None:
    compiled = mapping(time=".endsAt ?? .startsAt")
    alert = ALERT | {"endsAt": "0001-01-01T00:00:00Z", "startsAt": "2026-11-24T21:05:00Z"}
    assert compiled.map(alert).event_time == NOW
    assert compiled.map(ALERT).event_time is None


SUPPRESS = """- {name: old, reason: r, until: 2026-11-24, when: {.host: h}}
- {name: kept, reason: r, permanent: true, when: {.host: h}}"""


def test_a_suppression_holds_to_the_end_of_its_last_day() -> None:
    compiled = mapping(suppress=SUPPRESS)
    assert compiled.map(ALERT, now=NOW).suppressed_by == "old"
    assert compiled.map(ALERT, now=datetime(2026, 11, 25, tzinfo=UTC)).suppressed_by == "kept"


def test_a_closing_alert_is_never_suppressed() -> None:
    correlation = DEFAULTS["correlation"] + "\nclose_when: {.state: closed}"
    mapped = mapping(suppress=SUPPRESS, correlation=correlation).map(ALERT | {"state": "closed"}, now=NOW)
    assert (mapped.status, mapped.suppressed_by) == (Status.RESOLVED, None)


def test_the_first_route_that_matches_wins() -> None:
    compiled = mapping(route="- {when: {.host: x}, to: sir}\n- {when: {.host: h}, to: drop}\n- {to: itsm}")
    assert [(m.target, m.route) for m in (compiled.map(ALERT | {"host": h}) for h in "xhz")] == [
        ("sir", "route[0]"),
        (None, "route[1]"),
        ("itsm", "route[2]"),
    ]
    assert compiled.targets == {"sir", "itsm"}


def test_an_alert_without_a_route_is_dropped_and_the_log_can_tell() -> None:
    mapped = mapping(route="[{when: {.host: x}, to: sir}]").map(ALERT)
    assert (mapped.target, mapped.route) == (None, NO_ROUTE)


FIELDS = """create:
  short_description: "[{{ severity | title }}] {{ .rule }}"
  cmdb_ci: {find: cmdb_ci, by: {name: "{{ .host }}"}, else: {find: cmdb_ci_vm, by: {object_id: "{{ .vm }}"}}}
  u_empty: "{{ .nope }}"
  u_number: 2
on:
  sir: {create: {priority: {by: severity, table: {critical: 1, high: 2}, default: 4}}}
  itsm: {create: {urgency: {by: .env, table: {PROD: 1}}}}
update: {work_notes: "Seen {{ repeat_count }} times, {{ last_seen | date('%Y-%m-%d %H:%M UTC') }}. {{ .note }}"}
close: {close_notes: "Closed in {{ source }}"}"""


def test_a_create_renders_what_is_common_and_what_its_table_needs() -> None:
    compiled = mapping(fields=FIELDS)
    security = compiled.render(ALERT, Kind.CREATE, FACTS, "sn_si_incident")
    assert security.fields == {"short_description": "[High] r", "u_number": "2", "priority": "2"}
    assert security.finds["cmdb_ci"] == Find(table="cmdb_ci", by=(("name", "h"),))
    service = compiled.render(ALERT | {"env": "prod"}, Kind.CREATE, FACTS, "incident")
    assert service.fields == {"short_description": "[High] r", "u_number": "2", "urgency": "1"}


def test_a_record_named_by_nothing_is_the_other_one_or_none() -> None:
    compiled = mapping(fields=FIELDS)
    assert compiled.render({"vm": "v"}, Kind.CREATE, FACTS, "incident").finds["cmdb_ci"].table == "cmdb_ci_vm"
    assert compiled.render({}, Kind.CREATE, FACTS, "incident").finds == {}


def test_an_update_writes_its_fields_and_on_a_rise_what_depends_on_severity() -> None:
    compiled = mapping(fields=FIELDS)
    note = {"work_notes": "Seen 4 times, 2026-11-24 21:05 UTC."}
    assert compiled.render(ALERT, Kind.UPDATE, FACTS, "sn_si_incident").fields == note
    risen = compiled.render(ALERT, Kind.UPDATE, FACTS, "sn_si_incident", severity_rose=True)
    assert risen.fields == note | {"short_description": "[High] r", "priority": "2"}


def test_a_reopen_says_why_unless_the_mapping_says_it() -> None:
    assert "tool reports this again" in mapping().render(ALERT, Kind.REOPEN, FACTS, "incident").fields["work_notes"]
    own = mapping(fields=FIELDS + "\nreopen: {u_again: yes}")
    assert own.render(ALERT, Kind.REOPEN, FACTS, "incident").fields == {"u_again": "yes"}


def test_code_blocks_are_defused_in_a_journal() -> None:
    alert = ALERT | {"note": "[code]<script>[/CODE]"}
    note = mapping(fields=FIELDS).render(alert, Kind.UPDATE, FACTS, "incident").fields["work_notes"]
    assert note.endswith("(code)<script>(/CODE)")


def test_the_group_is_the_routes_with_its_fallback() -> None:
    route = '[{to: itsm, assignment_group: "{{ .team }}", else_group: Service Desk}]'
    desk = Find(table="sys_user_group", by=(("name", "Service Desk"),))
    compiled = mapping(route=route)
    named = compiled.render(ALERT | {"team": "Payments"}, Kind.CREATE, FACTS, "incident").finds["assignment_group"]
    assert named == Find(table="sys_user_group", by=(("name", "Payments"),), otherwise=desk)
    assert compiled.render(ALERT, Kind.CREATE, FACTS, "incident").finds["assignment_group"] == desk
    assert compiled.render(ALERT, Kind.UPDATE, FACTS, "incident").finds == {}


def test_the_group_is_that_of_the_route_that_map_named() -> None:
    route = "- {when: {severity|at_least: high}, to: sir, assignment_group: A}\n- {to: itsm, assignment_group: B}"
    compiled = mapping(route=route)  # the alert is medium, though the episode is high
    assert compiled.map(ALERT).route == "route[1]"
    assert compiled.render(ALERT, Kind.CREATE, FACTS, "incident").finds["assignment_group"].by == (("name", "B"),)


def test_observables_are_named_once_each() -> None:
    compiled = mapping(observables="{ip: [.a, '.b[]'], user: .u}")
    alert = ALERT | {"a": "10.0.0.1", "b": ["10.0.0.1", "10.0.0.2", " "], "u": "x" * 2000}
    assert compiled.render(alert, Kind.CREATE, FACTS, "incident").observables == (
        Observable(kind="ip", value="10.0.0.1"),
        Observable(kind="ip", value="10.0.0.2"),
    )


def test_a_huge_text_is_cut_and_starves_no_later_field() -> None:
    compiled = mapping(fields='create: {description: "{{ .big }}", comments: "{{ .big }}", u_last: "{{ .rule }}"}')
    fields = compiled.render(ALERT | {"big": "ü" * 200_000}, Kind.CREATE, FACTS, "incident").fields
    assert fields["description"].endswith("…")
    assert fields["u_last"] == "r"
    assert sum(len(text.encode()) for text in fields.values()) <= OUTPUT_BYTES_MAX


@pytest.mark.parametrize(
    ("expression", "value", "text"),
    [
        (".a[] | count", ["x"] * (LIST_ITEMS_MAX + 500), str(LIST_ITEMS_MAX)),
        (".a[].b[] | count", [{"b": ["x"] * 400}] * 400, str(LIST_ITEMS_MAX)),
        ('.a | split(",") | count', "x," * (LIST_ITEMS_MAX + 500), str(LIST_ITEMS_MAX)),
        ('.a | regex("z")', "x" * (PATTERN_CHARS_MAX - 1) + "z", "z"),
        ('.a | regex("z")', "x" * PATTERN_CHARS_MAX + "z", ""),
    ],
    ids=["a fan-out", "a fan-out of fan-outs", "a split", "within what a pattern sees", "beyond what a pattern sees"],
)
def test_what_grows_with_the_alert_is_bounded(expression: str, value: object, text: str) -> None:
    assert value_of(expression, ALERT | {"a": value}) == text


def test_the_limits_are_those_of_the_languages_description() -> None:
    limits = (EXTRACTS_MAX, LIST_ITEMS_MAX, OUTPUT_BYTES_MAX, PATTERN_CHARS_MAX, YAML_BYTES_MAX)
    assert limits == (200, 1000, 64 * 1024, 4 * 1024, 256 * 1024)


def test_extracts_that_double_each_other_stay_bounded() -> None:
    lines = ["x0: .rule"] + [f'x{n}: "{{{{ x{n - 1} }}}}{{{{ x{n - 1} }}}}"' for n in range(1, 30)]
    compiled = mapping(extract="\n".join(lines), fields='create: {u_x: "{{ x29 }}"}')
    assert len(compiled.render(ALERT, Kind.CREATE, FACTS, "incident").fields["u_x"]) <= OUTPUT_BYTES_MAX


EVERYTHING = mapping(
    tables={"t": "a,b\na,\u00fc\nx," + "y" * 4000 + "\n10.1.2.3,net\n"},
    match="any: [{.a|exists: true}, {not: {.a|in_lookup: t.a}}]",
    each="{in: '.a[]'}",
    extract="""a: .a ?? ."b.c" ?? "x"
b: .a[].b[].c | unique | join("+") | title | truncate(9)
c: '.a[0].b | split("a") | last | upper | trim | replace("a", "bbbb")'
d: .a | time ?? .b | number ?? .a | json
e: '.a[] | regex("(a+)b?") | first | hash(9) | basename'
f: "{{ .a }}-{{ .b | date }}-{{ .a | count }}-{{ . }}"
g: '.a | lookup(t, by=a, take=b) ?? .b | domain ?? f | defang ?? "none"'
h: '. | json | strip_html | defang | strip_html'
i: '.a | duration ?? .b | regex("x") | default("y")'""",
    time=".a ?? .b",
    personal="[a]",
    attach="true",
    severity="""from: .a
table: {a: high}
ranges: [{gt: 0, lte: 5, to: low}, {lt: 0, to: info}]
raise_to: {critical: {.a|re: 'a+', .b|gte: 1}}""",
    correlation="""id: "{{ a }}:{{ .b }}"
formerly: "{{ g }} {{ .a }}"
close_when: {.b|contains: a, .a|cidr: 10.0.0.0/8}
join: [{same: [a, g], within: 4h}, {same: [i, .b, "{{ .a }}{{ g }}"], within: 1h}, {same: [.], within: 1d}]""",
    suppress="""- {name: n, reason: r, permanent: true, when: {.a|startswith: a, .b|endswith: b}}
- name: w
  reason: r
  until: 2026-12-31
  when: {.a|exists: true}
  window: {days: [tue, wed], from: "22:00", to: "04:00", tz: Asia/Kathmandu}""",
    route="[{when: {c|lt: 3, severity|at_least: high}, to: sir}, {to: itsm, assignment_group: '{{ f }}'}]",
    fields="""create:
  description: "{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ f }}"
  u_more: "{{ g }}{{ h }}{{ i }}"
  cmdb_ci: {find: cmdb_ci, by: {name: "{{ .a }}"}}
  u_x: {by: .a, table: {a: b}, default: "{{ .b }}"}
update: {work_notes: "{{ . }}"}""",
    observables="{ip: [.a, '.a[].b', '.']}",
)
KEYS = st.sampled_from(["a", "b", "c", "b.c"]) | st.text(max_size=3)
TIMES = st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "2024-06-19", "10.1.2.3"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**18), 10**17, "a.b/c@d.ef", "<b>http://x.y", "&#" + "9" * 5000 + ";", "1h2m"])
    | st.floats()
    | TIMES
    | st.text(st.characters() | st.characters(categories=["Cs"]))
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)


@settings(max_examples=300)
@given(JSON)
def test_any_json_value_maps_or_is_unmappable_and_always_renders_within_bounds(document: Any) -> None:
    try:
        EVERYTHING.split(document)
        for now in (NOW, None):
            mapped = EVERYTHING.map(document, now=now)
            assert 1 <= len(mapped.correlation_id) <= 100
            assert all(1 <= len(former) <= 100 for former in mapped.former_ids)
            assert len(mapped.join_keys) <= len(EVERYTHING.joins)
    except Unmappable:
        pass
    for kind in Kind:
        rendered = EVERYTHING.render(document, kind, FACTS, "incident", severity_rose=True)
        size = sum(len(text.encode()) for text in rendered.fields.values())  # it can be encoded, too
        size += sum(len(one.value.encode()) for one in rendered.observables)
        assert size <= OUTPUT_BYTES_MAX


def test_a_value_nested_beyond_all_reason_maps_and_renders() -> None:
    document: Any = "x"
    for _ in range(100_000):
        document = [document]
    EVERYTHING.render({"a": document, "b": document}, Kind.CREATE, FACTS, "incident")
    with pytest.raises(Unmappable):
        EVERYTHING.map({"a": document})

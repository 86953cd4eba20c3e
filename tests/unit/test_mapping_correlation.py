"""What a mapping says of an alert's relatives: the incident it may join, and the ID it had before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from small_mapping import ALERT, DEFAULTS, mapping, problems

from bridge.alert import JoinKey
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files
from bridge.mapping.model import JOIN_RULES_MAX, JOIN_VALUES_MAX

EXTRACT = """host: .host
user: "{{ .domain }}\\\\{{ .user }}"
team: .team ?? "SOC L1"
upper: team | upper
first: .first ?? team ?? .last
given: .given | default("nobody")
tail: .given | split("/") | last | default("nothing") | count
both: "{{ .host }}-{{ team }}"
fixed: '"always"'
found: '.host | lookup(hosts, by=hostname, take=team) ?? "none"'"""
TABLES = {"hosts": "hostname,team\nh,Payments\n"}


def joining(same: str, name: str = "m") -> Mapping:
    text = f'join: [{{same: {same}, within: 4h}}]\nid: "{{{{ .rule }}}}"'
    compiled = mapping(tables=TABLES, extract=EXTRACT, correlation=text)
    if name == "m":
        return compiled
    source = compiled.files["m.yaml"].replace("mapping: m", f"mapping: {name}")
    return compile_files(name, {f"{name}.yaml": source, "lookups/hosts.csv": TABLES["hosts"]})


def keys(same: str, alert: dict[str, Any], name: str = "m") -> tuple[JoinKey, ...]:
    return joining(same, name).map(ALERT | alert).join_keys


def test_alerts_with_the_same_values_have_the_same_key() -> None:
    (key,) = keys("[host, user]", {"domain": "CORP", "user": "j.doe"})
    assert key.within == timedelta(hours=4)
    assert len(key.digest) == 32
    assert (key,) == keys("[host, user]", {"domain": "corp", "user": "J.DOE", "rule": "another"})


@pytest.mark.parametrize(
    ("same", "alert", "name"),
    [
        ("[host, user]", {"domain": "CORP", "user": "k.roe"}, "m"),
        ("[host]", {"domain": "CORP", "user": "j.doe"}, "m"),
        ("[host, .user]", {"domain": "CORP", "user": "CORP\\j.doe"}, "m"),
        ("[host, user]", {"domain": "CORP", "user": "j.doe"}, "n"),
    ],
    ids=["another value", "another rule", "the same value by another rule", "another mapping"],
)
def test_what_differs_gives_another_key(same: str, alert: dict[str, Any], name: str) -> None:
    assert keys(same, alert, name) != keys("[host, user]", {"domain": "CORP", "user": "j.doe"})


def test_values_do_not_run_together() -> None:
    assert keys("[.a, .b]", {"a": "1", "b": "2.b3"}) != keys("[.a, .b]", {"a": "1.b2", "b": "3"})


def test_a_value_is_alike_within_its_rule_only() -> None:
    assert keys("[.a]", {"a": "x"}) != keys("[.b]", {"b": "x"})


def test_the_order_of_the_values_in_a_rule_does_not_matter() -> None:
    assert keys("[.a, .b]", {"a": "x", "b": "y"}) == keys("[.b, .a]", {"a": "x", "b": "y"})


@pytest.mark.parametrize("value", [None, "", "  ", "\x00", [], [""], {}])
def test_an_empty_value_never_matches(value: object) -> None:
    assert keys("[host, .a]", {"a": value}) == ()


@pytest.mark.parametrize(
    ("same", "alert", "has_key"),
    [
        ('[.a ?? "none"]', {"a": "x"}, True),
        ('[.a ?? "none"]', {}, False),
        ('[.a ?? "none" ?? .b]', {"b": "x"}, False),
        ("[team]", {"team": "Payments"}, True),
        ("[team]", {}, False),
        ("[upper]", {}, False),
        ("[upper]", {"team": "x"}, True),
        ("[first]", {"last": "x"}, False),
        ("[first]", {"first": "x"}, True),
        ("[given]", {}, False),
        ("[given]", {"given": "x"}, True),
        ("[tail]", {"given": "a/"}, False),
        ("[tail]", {"given": "a/b"}, True),
        ("[both]", {}, False),
        ("[both]", {"team": "x"}, True),
        ("['{{ .host }}/{{ .a ?? \"b\" }}']", {}, False),
        ("['{{ .host }}/{{ .a ?? \"b\" }}']", {"a": "b"}, True),
        ("[found]", {}, True),
        ("[found]", {"host": "z"}, False),
        ("[team ?? .a]", {"a": "x"}, False),
        ("['.a | default(\"x\") | upper']", {}, False),
        ("['.a | default(\"x\") | upper']", {"a": "y"}, True),
        ("[user]", {"user": "root"}, True),
        ("[user]", {}, False),
    ],
)
def test_a_value_from_a_literal_fallback_never_matches(same: str, alert: dict[str, Any], has_key: bool) -> None:
    same = same if "'" in same else "['" + same.strip("[]") + "']"
    assert bool(keys(same, alert)) is has_key


def test_each_rule_has_its_own_key() -> None:
    correlation = DEFAULTS["correlation"] + "\njoin: [{same: .a, within: 1h}, {same: .b, within: 2h}]"
    compiled = mapping(correlation=correlation)
    assert [key.within for key in compiled.map(ALERT | {"a": 1, "b": 2}).join_keys] == [
        timedelta(hours=1),
        timedelta(hours=2),
    ]
    assert [key.within for key in compiled.map(ALERT | {"b": 2}).join_keys] == [timedelta(hours=2)]
    assert [join.same for join in compiled.joins] == [(".a",), (".b",)]


def test_a_mapping_without_joins_has_no_keys() -> None:
    assert (mapping().joins, mapping().map(ALERT).join_keys) == ((), ())


def test_extracts_that_build_on_one_another_are_asked_once_each() -> None:
    lines = ['x0: .a ?? "none"', *(f'x{n}: "{{{{ x{n - 1} }}}}{{{{ x{n - 1} }}}}"' for n in range(1, 31))]
    compiled = mapping(
        extract="\n".join(lines), correlation=DEFAULTS["correlation"] + "\njoin: {same: x30, within: 1h}"
    )
    assert compiled.map(ALERT).join_keys == ()
    assert compiled.map(ALERT | {"a": "x"}).join_keys != ()


@pytest.mark.parametrize(
    ("join", "words"),
    [
        ("[{same: [host]}]", "the key `within` is missing"),
        ("[{within: 4h}]", "the key `same` is missing"),
        ("[{same: [host], within: 4 hours}]", "is not a duration"),
        ("[{same: [host], within: 0s}]", "longer than nothing"),
        ("[{same: [], within: 4h}]", "`same` has 1 to 10 values, not 0"),
        (f"[{{same: [{', '.join('.a' + str(n) for n in range(JOIN_VALUES_MAX + 1))}], within: 4h}}]", "not 11"),
        ("[{same: [hots], within: 4h}]", "did you mean `host`"),
        ("[{same: [severity], within: 4h}]", "`severity` does not tell which alerts belong together"),
        ("[{same: [mapping], within: 4h}]", "`mapping` does not tell which alerts belong together"),
        ("[{same: ['\"x\"'], within: 4h}]", "comes from a literal, the same for all alerts"),
        ("[{same: ['\"x\" | upper'], within: 4h}]", "comes from a literal, the same for all alerts"),
        ("[{same: [fixed], within: 4h}]", "comes from a literal, the same for all alerts"),
        ("[{same: ['.a |'], within: 4h}]", "the name of a function"),
        ("[{same: [7], within: 4h}]", "an expression is expected"),
        ("[{same: [host], within: 4h}, {same: [host], within: 5h}]", "stands here twice"),
        ("[{same: [host], in: 4h}]", "there is no key `in`"),
        (f"[{', '.join(f'{{same: [.a{n}], within: 4h}}' for n in range(JOIN_RULES_MAX + 1))}]", "at most 10"),
        ("4h", "a map with the keys same, within"),
    ],
)
def test_a_wrong_join_is_told(join: str, words: str) -> None:
    extract = "host: .host\nfixed: '\"x\"'"
    found = problems(extract=extract, correlation=DEFAULTS["correlation"] + f"\njoin: {join}")
    assert any(words in problem for problem in found)


@pytest.mark.parametrize(
    ("formerly", "alert", "former"),
    [
        ('"{{ .rule }}/{{ .uuid }}"', {"uuid": "7"}, "r/7"),
        ('"{{ .rule }} {{ .uuid }}"', {"uuid": "7"}, "r 7"),
        ('"{{ .rule }}/{{ .uuid }}"', {}, None),
        ('"{{ .rule }}/{{ .uuid }}"', {"uuid": " \x00"}, None),
        ('"{{ .rule }}:{{ .host }}"', {}, None),
        ('"{{ .rule | upper }}:{{ .host }}"', {}, None),
        ('"{{ .uuid }}"', {"uuid": "ä"}, "~33e6d73fee82904c8d7a"),
    ],
    ids=[
        "given",
        "with a blank",
        "a part is missing",
        "a part is empty",
        "the same",
        "the same but for case",
        "shortened",
    ],
)
def test_the_id_that_an_alert_had_before(formerly: str, alert: dict[str, Any], former: str | None) -> None:
    compiled = mapping(correlation=DEFAULTS["correlation"] + f"\nformerly: {formerly}")
    found = next(iter(compiled.map(ALERT | alert).former_ids), None)
    assert found == former


def test_an_alert_may_have_had_several_ids_before() -> None:
    both = '["a:{{ .rule }}", "b:{{ .rule }}"]'
    compiled = mapping(correlation=DEFAULTS["correlation"] + f"\nformerly: {both}")
    assert compiled.map(ALERT | {"rule": "r"}).former_ids == ("a:r", "b:r")


def test_without_formerly_there_was_no_other_id() -> None:
    assert mapping().map(ALERT).former_ids == ()


@pytest.mark.parametrize(
    ("formerly", "words"),
    [('"all"', "names no part of the alert"), ('"{{ severity }}"', "not known yet"), ("{a: b}", "a text is expected")],
)
def test_a_wrong_formerly_is_told(formerly: str, words: str) -> None:
    (problem,) = problems(correlation=DEFAULTS["correlation"] + f"\nformerly: {formerly}")
    assert words in problem


def test_a_mapping_says_whether_the_alert_is_attached() -> None:
    assert (mapping().attach, mapping(attach="true").attach, mapping(attach="false").attach) == (False, True, False)
    assert "`attach` is true or false" in problems(attach="maybe")[0]

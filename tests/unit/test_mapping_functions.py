"""The functions of a pipe: what is told of each is true, and none of them minds what an alert holds."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_mapping import value_of

from bridge.errors import Misconfigured
from bridge.mapping.functions import FUNCTIONS, build_step
from bridge.mapping.language import Call, parse_expression
from bridge.mapping.lookups import Lookups, Table, parse_table
from bridge.mapping.values import LIST_ITEMS_MAX, TEXT_CHARS_MAX, text_of
from bridge.mapping.webtext import defang, domain, strip_html

HOSTS = "hostname,team\nWKS-0421,Payments\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_gives_what_is_told(name: str) -> None:
    function = FUNCTIONS[name]
    assert f"| {name}" in function.example
    assert value_of(function.example, function.alert or {}, {"hosts": HOSTS}) == function.gives


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_usage_of_a_function_has_its_name_and_its_arguments(name: str) -> None:
    function = FUNCTIONS[name]
    shown = function.usage.replace("[", "").replace("]", "")
    assert shown.startswith(name)
    (call,) = parse_expression(f".a | {shown}").calls  # type: ignore[union-attr]
    assert (len(call.arguments), [keyword for keyword, _ in call.keywords]) == (
        len(function.kinds),
        list(function.keywords),
    )
    assert function.doc.endswith(".")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (7259, "2 h"),
        (93_784, "1 d 2 h"),
        (86_461, "1 d"),
        (1.9, "1 s"),
        ("7500", "2 h 5 min"),
        ("90s", "1 min 30 s"),
        ("2h5m", "2 h 5 min"),
        ("2 h 5 min", "2 h 5 min"),
        ("1.5h", "1 h 30 min"),
        ("500ms", "0 s"),
        ("2w", "14 d"),
        ([60, "x", "1h"], "1 min, 1 h"),
        ("", ""),
        ("soon", ""),
        ("5m later", ""),
        (-1, ""),
        (True, ""),
        (10**30, ""),
        (float("inf"), ""),
        ("9" * 30 + "h", ""),
        ({"s": 1}, ""),
    ],
)
def test_a_duration_is_told_by_its_two_largest_units(value: object, text: str) -> None:
    assert value_of(".a | duration", {"a": value}) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Evil.Example/path?x=http://other.example", "evil.example"),
        ("//cdn.example:8080/a", "cdn.example"),
        ("j.doe@mail.corp.example", "mail.corp.example"),
        ("mailto:j.doe@corp.example", "corp.example"),
        ("ftp://user:pa@ss@files.example", "files.example"),
        ("wks-0421.corp.example.", "wks-0421.corp.example"),
        ("münchen.example", "münchen.example"),
        ("https://10.0.0.1/x", None),
        ("2001:db8::1", None),
        ("localhost", None),
        ("", None),
        ("://", None),
        ("a.b" * 200, None),
    ],
)
def test_the_domain_of_a_text(text: str, expected: str | None) -> None:
    assert domain(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://evil.example/a.php?b=c.d", "hxxps://evil[.]example/a.php?b=c.d"),
        ("HTTP://EVIL.example", "HxxP://EVIL[.]example"),
        ("ftp://files.example/x", "fxp://files[.]example/x"),
        ("got https://a.example and http://b.example.", "got hxxps://a[.]example and hxxp://b[.]example[.]"),
        ("evil.example/a.php", "evil[.]example/a.php"),
        ("203.0.113.7", "203[.]0[.]113[.]7"),
        ("j.doe@evil.example", "j[.]doe@evil[.]example"),
        ("a sentence. With two parts", "a sentence. With two parts"),
        ("", ""),
    ],
)
def test_a_text_is_defanged(text: str, expected: str) -> None:
    assert defang(text) == expected


def test_what_is_defanged_stays_as_it_is() -> None:
    once = defang("https://evil.example/a.php")
    assert defang(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no markup, 3 < 4 and 5 > 4", "no markup, 3 < 4 and 5 > 4"),
        ("<p>one</p><p>two<br/>three</p>", "one\ntwo\nthree"),
        ("<b>a</b>b", "ab"),
        ("<tr><td>a</td><td>b</td></tr>", "a b"),
        ("<ul>\n <li>a</li>\n <li>b</li>\n</ul>", "a\nb"),
        ("a<!-- <b>hidden</b> -->b", "ab"),
        ("a<script>if (1 < 2) { x() }</script>b<STYLE>p {}</STYLE >c", "abc"),
        ("<!DOCTYPE html><head><title>t</title></head><body>x</body>", "x"),
        ("a --> b <i>c</i>", "a --> b c"),
        ("&lt;b&gt; &amp;amp; &#65;&nbsp;x", "<b> &amp; A x"),
        ("<b>&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
        ("a<script>never closed", "a"),
        ("a</head></script>b", "ab"),
        ("<header>a</header>", "a"),
    ],
)
def test_html_is_stripped_to_what_a_reader_sees(text: str, expected: str) -> None:
    assert strip_html(text) == expected


@pytest.mark.parametrize(
    "text",
    ["<" * 64_000, "<!--" * 16_000, "<script>" * 8_000, " \n" * 32_000, "<a " * 21_000, "&" * 64_000, "-->" * 21_000],
    ids=lambda text: text[:8],
)
@pytest.mark.parametrize("change", [strip_html, defang, domain])
def test_no_text_takes_long(change: Any, text: str) -> None:
    began = time.process_time()
    change(text)
    change("http://" + text)
    change("a@" * 32_000)
    assert time.process_time() - began < 1


@given(st.text() | st.text("<>!-/ &;#x1abscript.:@[]\n").map(lambda text: text * 3))
def test_text_of_the_web_never_raises(text: str) -> None:
    for change in (strip_html, defang, domain):
        change(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, "\ud800", "9" * 50]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=10,
)
ARGUMENTS = {"replace": ("a", "bb"), "split": (":",), "regex": ("(a+)b",), "truncate": (5,), "default": ("x",)}


def _table(_: str) -> Table:
    return parse_table(HOSTS.encode(), "hosts.csv")


def _step(name: str) -> Any:
    given = {
        "lookup": (("hosts",), (("by", "hostname"), ("take", "team"))),
        "pick": (("a",), (("by", "name"), ("take", "value"))),
    }
    arguments, keywords = given.get(name, (ARGUMENTS.get(name, ()), ()))
    return build_step(Call(name, arguments, keywords), Lookups(_table, []))


STEPS = {name: _step(name) for name in FUNCTIONS}


@given(JSON, st.lists(st.sampled_from(sorted(FUNCTIONS)), max_size=6))
def test_no_value_makes_a_pipe_raise_or_grow_beyond_bounds(value: Any, names: list[str]) -> None:
    for name in names:
        value = STEPS[name](value)
    assert len(text_of(value)) <= TEXT_CHARS_MAX


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_stays_nothing(name: str) -> None:
    expected = {"count": 0, "default": "x"}.get(name)
    assert STEPS[name](None) == expected


@pytest.mark.parametrize("name", ["defang", "strip_html"])
def test_a_change_that_lengthens_a_text_is_cut(name: str) -> None:
    assert len(STEPS[name]("a." * TEXT_CHARS_MAX)) <= TEXT_CHARS_MAX


def test_a_list_keeps_only_what_a_function_finds() -> None:
    alert = {"urls": ["https://a.example", "nothing here", "https://b.example"]}
    assert value_of(".urls | domain | count", alert) == "2"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("lookup(hosts)", "needs by= and take= (lookup is written lookup(table, by=column, take=column))"),
        ("lookup(hosts, by=hostname)", "needs by= and take="),
        ("lookup(hosts, by=hostname, take=team, of=x)", "has no `of=`"),
        ("lookup(by=hostname, take=team)", "takes 1 arguments, not 0"),
        ("lookup(7, by=hostname, take=team)", "takes the name of a table, not `7`"),
        ("lookup(hosts, by=7, take=team)", "is the name of a column, not `7`"),
        ("lookup(by=hostname, hosts)", "those come last"),
        ("lookup(hosts, by=hostname, by=team)", "`by=` stands here twice"),
        ("lookup(Hosts, by=hostname, take=team)", "is not the name of a look-up table"),
        ("lookup(hosts, by=host, take=team)", "no column `host` (did you mean `hostname`?)"),
        ("lookup(host, by=hostname, take=team)", "there is no look-up table `host`"),
        ("default(host)", 'takes a text in quotes, not the name `host` ("host")'),
        ("lower(by=x)", "has no `by=`"),
        ("defang(1)", "takes 0 arguments"),
        ("pick(env)", 'takes a text in quotes, not the name `env` ("env")'),
        ('pick("env")', "needs by= and take= (pick is written pick("),
        ('pick("env", by=name, take=7)', "`take=` is the name of a key, not `7`"),
        ('pick("", by=name, take=value)', "`pick` needs the text to look for"),
    ],
)
def test_a_wrong_call_is_told_with_the_right_one(call: str, words: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        value_of(f".a | {call}", {}, {"hosts": HOSTS})
    assert words in str(caught.value)


def test_a_column_with_a_blank_stands_in_quotes() -> None:
    tables = {"hosts": "Host Name,Team\na,b\n"}
    assert value_of('.a | lookup(hosts, by="Host Name", take=Team)', {"a": "A"}, tables) == "b"


PAIRS = [{"name": "env", "value": "prod"}, {"name": "Env", "value": ["a", "b"]}, {"name": "n", "value": 7}, "env", None]


@pytest.mark.parametrize(
    ("value", "call", "text"),
    [
        (PAIRS, 'pick("ENV", by=name, take=value)', "prod, a, b"),
        (PAIRS, 'pick("n", by=name, take=value)', "7"),
        (PAIRS, 'pick("7", by=value, take=name)', "n"),
        (PAIRS, 'pick("env", by=name, take=value) | first', "prod"),
        (PAIRS, 'pick("team", by=name, take=value)', ""),
        (PAIRS, 'pick("env", by=name, take=team)', ""),
        (PAIRS[0], 'pick("env", by=name, take=value)', "prod"),
        ([{"a key": "env", "b": 0}], 'pick("env", by="a key", take=b)', "0"),
        ("env", 'pick("env", by=name, take=value)', ""),
        ([[PAIRS[0]]], 'pick("env", by=name, take=value)', ""),
    ],
)
def test_of_a_list_of_keys_and_values_one_is_picked_by_its_key(value: Any, call: str, text: str) -> None:
    assert value_of(f".a | {call}", {"a": value}) == text


@given(JSON | st.lists(st.fixed_dictionaries({"name": JSON, "value": JSON}), max_size=5))
def test_what_is_picked_is_a_list_of_bounded_length(value: Any) -> None:
    found = STEPS["pick"](value)
    assert value is None or (isinstance(found, list) and len(found) <= LIST_ITEMS_MAX)

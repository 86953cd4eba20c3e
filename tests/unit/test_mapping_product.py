"""The `product:` section: what is refused, with its place, and what is read of one."""

from __future__ import annotations

import pytest

from bridge.errors import Misconfigured
from bridge.mapping import product as language
from bridge.mapping.compile import Mapping
from bridge.mapping.load import compile_files
from bridge.mapping.product import Evidence, Product, filled
from bridge.settings import signatures, sources

MAPPING = """\
mapping: m
version: 1
owner: o
{include}
product:
{product}
correlation: {{id: "{{{{ .id }}}}"}}
route: [{{to: itsm}}]
fields: {{create: {{short_description: x}}}}
"""
KEYS = {
    "name": "Doorman",
    "sends": "door alerts",
    "confirmed": "a real body was seen",
    "calls_from": "network",
    "auth": "[{scheme: bearer}, {scheme: hmac, preset: github, secret: given}]",
    "retries": "never",
    "setup": "['Post to {{ url }}', {auth: bearer, do: 'with {{ header }}'}]",
}


def mapping(shared: str = "", **keys: str | None) -> Mapping:
    lines = [f"  {key}: {value}" for key, value in (KEYS | keys).items() if value is not None]
    text = MAPPING.format(product="\n".join(lines), include="include: [_shared/s.yaml]" if shared else "match: {.a: 1}")
    return compile_files("m", {"m.yaml": text, "_shared/s.yaml": shared})


def product(shared: str = "", **keys: str | None) -> Product:
    found = mapping(shared, **keys).product
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("keys", "evidence"),
    [
        ({}, Evidence.CONFIRMED),
        ({"unconfirmed": "the wrapping"}, Evidence.PARTLY),
        ({"confirmed": None, "unconfirmed": "all of it"}, Evidence.UNCONFIRMED),
    ],
)
def test_the_evidence_follows_from_what_was_seen(keys: dict[str, str | None], evidence: Evidence) -> None:
    assert product(**keys).evidence is evidence


def test_a_way_is_called_by_its_scheme_or_its_preset() -> None:
    assert [(way.name, way.auth, way.secret_given) for way in product().ways] == [
        ("bearer", {"scheme": "bearer"}, False),
        ("github", {"scheme": "hmac", "preset": "github"}, True),
    ]


def test_a_step_may_be_for_one_way_only() -> None:
    one = product()
    values = {"url": "http://b/hooks/m", "header": "Authorization: Bearer s"}
    by_way = {way.name: [filled(step, values) for step in one.steps(way)] for way in one.ways}
    assert by_way == {
        "bearer": ["Post to http://b/hooks/m", "with Authorization: Bearer s"],
        "github": ["Post to http://b/hooks/m"],
    }


def test_a_literal_holds_the_products_own_braces_and_what_has_no_value_is_named() -> None:
    one = product(setup="""['{{ "{{{x}}}" }} {{ secret }}']""")
    assert [filled(step, {}) for step in one.steps(one.ways[0])] == ["{{{x}}} <secret>"]


def test_what_several_products_share_stands_in_an_include_and_their_own_steps_come_first() -> None:
    shared = "product: {retries: for a day, setup: [last], notes: [theirs], calls_from: cloud}"
    one = product(shared, retries=None, setup="[first]", notes="[mine]", calls_from="network")
    assert [filled(step, {}) for step in one.steps(one.ways[0])] == ["first", "last"]
    assert (one.retries, one.notes, one.calls_from) == ("for a day", ("mine", "theirs"), "network")


@pytest.mark.parametrize(
    ("keys", "line", "told"),
    [
        ({"name": None}, 6, "the key `name` is missing"),
        ({"confirmed": None}, 5, "says nothing of its evidence"),
        ({"confimed": "x"}, 13, "there is no key `confimed` here"),
        ({"calls_from": "outside"}, 9, "`outside` is not a word for `calls_from`"),
        ({"auth": "[{scheme: bearr}]"}, 10, "`bearr` is not a scheme"),
        ({"auth": "[{scheme: none}]"}, 10, "`none` is not a scheme"),
        ({"auth": "[{preset: github}]"}, 10, "the key `scheme` is missing"),
        ({"auth": "[{scheme: header}]"}, 10, "the key `name` is missing: `header` needs it"),
        ({"auth": "[{scheme: bearer, name: X}]"}, 10, "`name` does not go with `bearer` here"),
        ({"auth": "[{scheme: hmac}]"}, 10, "`hmac` needs `preset`, or `header`"),
        ({"auth": "[{scheme: hmac, preset: gihub}]"}, 10, "`gihub` is not a preset"),
        ({"auth": "[{scheme: bearer, envelope: sms}]"}, 10, "`sms` is not an envelope"),
        ({"auth": "[{scheme: bearer, secret: s3cret}]"}, 10, "`s3cret` is not a word for `secret`"),
        ({"auth": "[{scheme: bearer}, {scheme: bearer}]"}, 10, "a second way `bearer` stands here"),
        ({"auth": "[]"}, 10, "a product has at least one way to prove itself"),
        ({"setup": "['{{ urll }}']"}, 12, "`{{ urll }}` cannot be filled in here"),
        ({"setup": "['{{ url | lower }}']"}, 12, "`{{ url | lower }}` cannot be filled in here"),
        ({"setup": "[{auth: basic, do: x}]"}, 12, "`basic` is not among the ways of `auth`"),
        ({"setup": "[{auth: bearer}]"}, 12, "the key `do` is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(keys: dict[str, str | None], line: int, told: str) -> None:
    with pytest.raises(Misconfigured) as error:
        mapping(**keys)
    assert next((problem.line, problem.message) for problem in error.value.problems) == (line, told)


def test_its_vocabulary_is_that_of_bridge_yaml() -> None:
    assert set(language.SCHEMES) | {"none"} == set(sources.SCHEMES)
    assert set(language.PRESETS) == set(signatures.PRESETS)
    assert set(language.ENVELOPES) == set(sources.ENVELOPES)

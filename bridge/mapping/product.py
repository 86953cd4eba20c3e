"""The `product:` section: whose alerts a mapping takes, by what evidence, how they come, what to set up there. Pure.

No alert ever meets it. It is what `bridge sources` and docs/sources/ say of a product, checked as the rest of its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.alert import Json
from bridge.mapping.language import Hole, LanguageError, Literal, Name, Text, nearest, parse_text
from bridge.mapping.model import Node, Report

REQUIRED = ("name", "sends", "calls_from", "auth", "retries", "setup")
CALLS_FROM = ("cloud", "network")
HOLES = ("url", "header", "secret", "username", "source")  # what a step of `setup` may name

# Scheme -> the keys of `auth` in bridge.yaml that a product can settle; the rest is the user's own. `none` is no way to
# connect a product.
SCHEMES: dict[str, tuple[str, ...]] = {
    "bearer": (),
    "header": ("name", "prefix"),
    "query": ("name",),
    "basic": ("username",),
    "hmac": (
        *("preset", "header", "prefix", "hash", "encoding", "template", "order"),
        *("id_header", "timestamp_header", "tolerance"),
    ),
    "standard_webhooks": (),
    "graph": (),
    "sns": (),
    "oidc": ("issuer", "keys", "audience", "subject"),
    "mtls": ("header",),
}
NEEDED: dict[str, tuple[str, ...]] = {"header": ("name",), "query": ("name",)}
PRESETS = ("github", "pagerduty", "grafana", "snyk", "crowdstrike", "splunk_observability", "vault_radar")
ENVELOPES = (
    *("none", "github", "gitlab", "pagerduty", "snyk", "vault_radar", "okta", "standard_webhooks"),
    *("sns", "eventbridge", "pubsub", "event_grid", "graph", "cloudevents", "hec", "ndjson", "kibana", "form"),
)


class Evidence(StrEnum):
    """Whether real bodies of the product were seen."""

    CONFIRMED = "confirmed"
    PARTLY = "partly"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which the product can prove itself and wrap its alerts."""

    name: str  # its scheme, or the preset of `hmac`: unique in a product
    auth: dict[str, Json]  # as in bridge.yaml, without what is the user's own; a text may hold `{{ url }}`
    envelope: str | None  # None: as the auth suggests
    secret_given: bool  # the product makes the secret and shows it; else it takes one of ours


@dataclass(frozen=True, slots=True)
class SetupStep:
    way: str | None  # only for this one
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    name: str  # as people call it
    sends: str  # what of it is mapped
    not_mapped: tuple[str, ...]
    confirmed: str  # which real bodies were seen; "": none
    unconfirmed: str  # what was written without one, and from what; "": nothing
    calls_from: str  # cloud: it must reach us from the internet; network: it runs beside us
    ways: tuple[Way, ...]  # the best first
    retries: str  # what it does with a delivery that fails
    setup: tuple[SetupStep, ...]
    notes: tuple[str, ...]

    @property
    def evidence(self) -> Evidence:
        if not self.confirmed:
            return Evidence.UNCONFIRMED
        return Evidence.PARTLY if self.unconfirmed else Evidence.CONFIRMED

    def way(self, name: str) -> Way | None:
        return next((way for way in self.ways if way.name == name), None)

    def steps(self, way: Way) -> tuple[Text, ...]:
        return tuple(step.text for step in self.setup if step.way in (None, way.name))


def compile_product(node: Node | None, report: Report) -> Product | None:
    if node is None or not report.keys(node, "product", REQUIRED):
        return None
    confirmed, unconfirmed = _text(node, "confirmed", report), _text(node, "unconfirmed", report)
    if not confirmed and not unconfirmed:
        hint = "`confirmed:` which real bodies were seen, or `unconfirmed:` what it was written from; or both"
        report.error(node, "says nothing of its evidence", hint, at_key=True)
    calls_from = node.get("calls_from")
    if calls_from is not None and calls_from.value not in CALLS_FROM:
        hint = "cloud: it calls from the internet; network: it runs beside the bridge"
        report.error(calls_from, f"`{calls_from.value}` is not a word for `calls_from`", hint)
    ways = _ways(node.get("auth"), report)
    return Product(
        name=_text(node, "name", report),
        sends=_text(node, "sends", report),
        not_mapped=_texts(node, "not_mapped", report),
        confirmed=confirmed,
        unconfirmed=unconfirmed,
        calls_from=_text(node, "calls_from", report),
        ways=ways,
        retries=_text(node, "retries", report),
        setup=_setup(node.get("setup"), [way.name for way in ways], report),
        notes=_texts(node, "notes", report),
    )


def _text(node: Node, key: str, report: Report) -> str:
    child = node.get(key)
    return " ".join(report.text(child).split()) if child is not None else ""


def _texts(node: Node, key: str, report: Report) -> tuple[str, ...]:
    child = node.get(key)
    return tuple([" ".join(report.text(one).split()) for one in child.elements()]) if child is not None else ()


def _ways(node: Node | None, report: Report) -> tuple[Way, ...]:
    ways: dict[str, Way] = {}
    for child in node.elements() if node is not None else []:
        way = _way(child, report)
        if way is None:
            continue
        if way.name in ways:
            report.error(child, f"a second way `{way.name}` stands here", "keep one of them")
        ways[way.name] = way
    if node is not None and not ways and not report.problems:
        report.error(node, "a product has at least one way to prove itself", "auth: [{scheme: bearer}]")
    return tuple(ways.values())


def _way(node: Node, report: Report) -> Way | None:
    if not report.keys(node, "product auth", ("scheme",)) or (scheme := node.get("scheme")) is None:
        return None
    if scheme.value not in SCHEMES:
        report.error(scheme, f"`{scheme.value}` is not a scheme", nearest(str(scheme.value), list(SCHEMES)))
        return None
    name = str(scheme.value)
    auth: dict[str, Json] = {"scheme": name}
    for key, child in node.items():
        if key in SCHEMES[name]:
            _holes(child, ("url",), report)
            auth[key] = child.value
        elif key not in ("scheme", "envelope", "secret"):
            hint = f"it takes {', '.join(SCHEMES[name])}" if SCHEMES[name] else "it takes no more keys here"
            report.error(child, f"`{key}` does not go with `{name}` here", hint, at_key=True)
    for key in NEEDED.get(name, ()):
        if key not in auth:
            report.error(node, f"the key `{key}` is missing: `{name}` needs it")
    if name == "hmac":
        _preset(node, report)
    return Way(
        name=str(auth.get("preset", name)),
        auth=auth,
        envelope=_word(node.get("envelope"), ENVELOPES, "an envelope", report),
        secret_given=_word(node.get("secret"), ("given",), "a word for `secret`", report) is not None,
    )


def _preset(node: Node, report: Report) -> None:
    _word(node.get("preset"), PRESETS, "a preset", report)
    if node.get("preset") is None and node.get("header") is None:
        report.error(node, "`hmac` needs `preset`, or `header`", f"known presets: {', '.join(PRESETS)}")


def _word(node: Node | None, known: tuple[str, ...], what: str, report: Report) -> str | None:
    if node is None:
        return None
    if node.value not in known:
        report.error(node, f"`{node.value}` is not {what}", nearest(str(node.value), list(known)))
    return str(node.value)


def _setup(node: Node | None, ways: list[str], report: Report) -> tuple[SetupStep, ...]:
    steps = []
    for child in node.elements() if node is not None else []:
        said, way = child, None
        if isinstance(child.value, dict):
            if not report.keys(child, "product step", ("auth", "do")):
                continue
            named, do = child.get("auth"), child.get("do")
            if named is None or do is None:
                continue
            said, way = do, _word(named, tuple(ways), "among the ways of `auth`", report)
        steps.append(SetupStep(way, _holes(said, HOLES, report)))
    return tuple(steps)


def _holes(node: Node, known: tuple[str, ...], report: Report) -> Text:
    """A text with the holes that are known here, and no other."""
    if isinstance(node.value, (list, dict)):  # of `auth`: several subjects
        return Text(())
    try:
        text = parse_text(report.text(node, empty=True))
    except LanguageError as error:
        report.error(node, error.message, error.hint)
        return Text(())
    for hole in text.holes:
        named = isinstance(hole.expression, Name) and hole.expression.name in known
        if not named and not isinstance(hole.expression, Literal):
            hint = f"known here: {', '.join(known)}; braces of the product's own stand in a literal"
            report.error(node, f"`{{{{ {hole.source} }}}}` cannot be filled in here", hint)
    return text


def filled(text: Text, values: dict[str, str]) -> str:
    """The text with its holes filled in; what there is no value for is named in angle brackets."""
    return "".join(part if isinstance(part, str) else _filled(part, values) for part in text.parts)


def _filled(hole: Hole, values: dict[str, str]) -> str:
    if isinstance(hole.expression, Literal):
        return hole.expression.text
    return values.get(hole.source, f"<{hole.source}>")

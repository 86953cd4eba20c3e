"""How products sign with a shared secret: the presets of `hmac`, and `hmac` spelt out."""

from __future__ import annotations

import re
from datetime import timedelta

from bridge.settings import Signature
from bridge.settings.section import Section

HASHES = ("sha256", "sha512", "sha384", "sha1")
ENCODINGS = ("hex", "base64")
ORDERS = {"body_timestamp": "{body}{timestamp}", "timestamp_body": "{timestamp}{body}"}

# Each from its product's documentation, but Grafana's from the source of its notifier (grafana/alerting, http/hmac.go).
# CrowdStrike's order and encoding were told differently by two implementations: `order` and `encoding` settle it.
PRESETS: dict[str, Signature] = {
    "github": Signature(header="X-Hub-Signature-256", prefix="sha256="),
    "pagerduty": Signature(header="X-PagerDuty-Signature", prefix="v1="),
    "grafana": Signature(header="X-Grafana-Alerting-Signature"),
    "snyk": Signature(header="X-Hub-Signature", prefix="sha256="),
    "crowdstrike": Signature(
        header="X-Cs-Primary-Signature",
        encoding="base64",
        template=ORDERS["body_timestamp"],
        timestamp_header="X-Cs-Delivery-Timestamp",
    ),
    "splunk_observability": Signature(header="X-SFX-Signature", encoding="base64"),
    "vault_radar": Signature(header="X-HCP-Radar-Signature", prefix="sha512=", hash="sha512"),
}
# What a product signs once it has been told to send the time as well.
TIMED = {"grafana": "{timestamp}:{body}"}

HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # no underscore: WSGI cannot tell it from a hyphen
_HOLE = re.compile(r"\{([^{}]*)\}")


def signature_of(auth: Section) -> tuple[str | None, Signature]:
    """(preset, the signature as the file has it): each key that stands there overrules the preset's."""
    preset = auth.word("preset", tuple(PRESETS), "") or None
    base = PRESETS.get(preset or "", Signature(header=""))
    if preset is None and not auth.has("preset") and not auth.has("header"):
        auth.missing("preset", f"one of {', '.join(PRESETS)}; or spell it out, beginning with `header`")
    header = header_of(auth, "header", base.header)
    timestamp_header = header_of(auth, "timestamp_header", base.timestamp_header or "") or None
    id_header = header_of(auth, "id_header", base.id_header or "") or None
    signature = Signature(
        header=header,
        prefix=auth.text("prefix", base.prefix, empty=True),
        hash=auth.word("hash", HASHES, base.hash),
        encoding=auth.word("encoding", ENCODINGS, base.encoding),
        template=_template(auth, preset, base, timed=timestamp_header is not None),
        timestamp_header=timestamp_header,
        id_header=id_header,
        tolerance=auth.duration("tolerance", base.tolerance, least=timedelta(seconds=1)),
    )
    _check_holes(auth, signature)
    return preset, signature


def header_of(section: Section, key: str, default: str | None = None) -> str:
    header = section.text(key, default)
    if header and HEADER.fullmatch(header) is None:
        section.refuse(key, f"`{header}` cannot be a header's name here", "letters, digits and `-`, as in X-Api-Key")
    return header


def _template(auth: Section, preset: str | None, base: Signature, *, timed: bool) -> str:
    if preset == "crowdstrike" and auth.has("order"):
        return ORDERS[auth.word("order", tuple(ORDERS), "body_timestamp")]
    default = TIMED.get(preset or "", base.template) if timed else base.template
    return auth.text("template", default)


def _check_holes(auth: Section, signature: Signature) -> None:
    """What is signed must be bound to the body, and a time or an id that is not signed proves nothing."""
    holes = _HOLE.findall(signature.template)
    if foreign := [hole for hole in holes if hole not in ("body", "timestamp", "id")]:
        auth.refuse("template", f"`{{{foreign[0]}}}` is not known here", "{body}, {timestamp} and {id} are")
    if holes.count("body") != 1 or holes.count("timestamp") > 1 or holes.count("id") > 1:
        auth.refuse("template", "must hold {body} once, {timestamp} and {id} at most once", '"{id}.{timestamp}.{body}"')
    for hole, key in (("timestamp", "timestamp_header"), ("id", "id_header")):
        named = getattr(signature, key) is not None
        if hole in holes and not named:
            auth.missing(key, f"`template` signs {{{hole}}}: name the header that carries it")
        if named and hole not in holes:
            auth.refuse(
                key, f"is not signed: `template` has no {{{hole}}}", f"add {{{hole}}} where the product puts it"
            )
    if auth.has("tolerance") and "timestamp" not in holes:
        auth.refuse("tolerance", "no time is signed: `template` has no {timestamp}", "leave `tolerance` out")

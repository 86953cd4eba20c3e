"""docs/sources/: a page for each product, made from its mapping, and the table in README.md.

python tests/source_pages.py     (make pages) writes them as they should be today
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bridge.alert import Json, Severity
from bridge.connecting import OWN
from bridge.correlation.policy import Kind
from bridge.mapping.compile import Mapping
from bridge.mapping.explanation import find_text
from bridge.mapping.product import Evidence, Product, Way, filled
from bridge.mapping.rendered import Facts, Rendered
from bridge.mapping.trial import TABLES
from bridge.mapping.values import text_of
from bridge.mapping.written import written_value
from bridge.products import SHIPPED, Offer, names_of, offers
from bridge.settings import SourceAuth
from bridge.sources.document import decode
from bridge.sources.envelope import ENVELOPES, envelope_for

FOLDER = Path(__file__).parents[1] / "docs/sources"
SOURCES = (FOLDER.parent / "sources.md").read_text("utf-8")
CONTENT = "its content, for ten minutes"
INDEX = FOLDER / "README.md"
HEAD = "| Product | Evidence | Proves itself by | Envelope | What ends an incident | Calls from |"
ROW_HEAD = "| | |\n|---|---|"
EVIDENCE = {
    Evidence.CONFIRMED: "confirmed",
    Evidence.PARTLY: "confirmed in part",
    Evidence.UNCONFIRMED: "unconfirmed",
}
CALLS_FROM = {
    "cloud": "the internet: [how that reaches a bridge inside a network](README.md#a-bridge-inside-a-network)",
    "network": "your network",
}
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)  # the clock of the pages


def products() -> list[Offer]:
    found, problems = offers(names_of(SHIPPED), SHIPPED)
    assert problems == []
    return [offer for offer in found if offer.product is not None]


def pages() -> dict[str, str]:
    """File name -> its text, README.md among them."""
    found = products()
    index = INDEX.read_text("utf-8")
    made = {f"{offer.name}.md": page(offer) for offer in found}
    return made | {INDEX.name: index.replace(table_of(index), table(found))}


def table_of(index: str) -> str:
    return next(part for part in index.split("\n\n") if part.startswith(HEAD)).rstrip("\n")


def table(found: list[Offer]) -> str:
    rows = [
        (
            f"[{offer.label}]({offer.name}.md)",
            EVIDENCE[_product(offer).evidence],
            ", ".join(f"`{way.name}`" for way in offer.ways),
            ", ".join(dict.fromkeys(f"`{way.envelope}`" if way.envelope else "as it is" for way in offer.ways)),
            code(offer.closes_when) if offer.closes_when else "a person",
            "the internet" if _product(offer).calls_from == "cloud" else "your network",
        )
        for offer in found
    ]
    return "\n".join(
        [HEAD, "|---" * (HEAD.count("|") - 1) + "|", *(f"| {' | '.join(map(cell, row))} |" for row in rows)]
    )


def page(offer: Offer) -> str:
    product = _product(offer)
    lines = [
        f"# {product.name}",
        "",
        f"<!-- Made from mappings/{offer.name}.yaml by `make pages`: change it there. -->",
        "",
        ROW_HEAD,
        *(f"| {name} | {cell(text)} |" for name, text in _facts(offer, product) if text),
        "",
        "## Set up",
        "",
        *_setup(offer, product),
        *(["", "## To know", "", *(f"- {note}" for note in product.notes)] if product.notes else []),
        "",
        "## From an alert to an incident",
        "",
        *_becomes(offer.mapping),
        "",
        *_example(offer),
        "## What its tests show",
        "",
        *(f"- {text_of(test['name'])}" for test in offer.mapping.tests),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _product(offer: Offer) -> Product:
    assert offer.product is not None
    return offer.product


def _facts(offer: Offer, product: Product) -> Iterator[tuple[str, str]]:
    yield "What is mapped", product.sends
    yield "What is not", "; ".join(product.not_mapped)
    yield "Confirmed", product.confirmed
    yield "Unconfirmed", product.unconfirmed
    yield "Calls from", CALLS_FROM[product.calls_from]
    yield "A delivery that fails", product.retries
    yield "A delivery is known by", "; ".join(dict.fromkeys(map(_known_by, product.ways)))
    yield "What ends an incident", code(offer.closes_when) if offer.closes_when else "nothing: a person closes it"
    yield "Mapping", f"[mappings/{offer.name}.yaml](../../mappings/{offer.name}.yaml)"


def _known_by(way: Way) -> str:
    """As docs/sources.md has it, where each envelope is a row, or one of a row's several."""
    auth = SourceAuth(scheme=str(way.auth["scheme"]), preset=way.auth.get("preset"), header=way.auth.get("name"))
    envelope = envelope_for(way.envelope, auth)
    name = next(word for word, one in ENVELOPES.items() if one is envelope)
    for row in re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", SOURCES, re.MULTILINE):
        names, ids = re.findall(r"`(\w+)`", row[0]), row[1].split("; ")
        if name in names:
            found = ids[names.index(name)] if len(ids) == len(names) else row[1]
            return CONTENT if found.startswith("none") else found
    raise AssertionError(f"docs/sources.md does not say what a delivery of {name} is known by")


def _setup(offer: Offer, product: Product) -> Iterator[str]:
    for way in product.ways:
        if len(product.ways) > 1:
            yield from (f"### By `{way.name}`", "")
        yield from ("```console", f"$ bridge sources add {_words(offer, way)}", "```", "")
        if way.secret_given:
            yield from ("The product makes the secret: write it into the file that the command names.", "")
        for number, step in enumerate(product.steps(way), 1):
            first, *snippet = filled(step, {}).strip().splitlines()
            yield f"{number}. {_plain(first)}"
            if snippet:
                yield from ("", "   ```", *(f"   {line}".rstrip() for line in snippet), "   ```", "")
        if way is not product.ways[-1]:
            yield ""


def _words(offer: Offer, way: Way) -> str:
    scheme = str(way.auth["scheme"])
    own = [f"--set {key}=…" for key in OWN.get(scheme, {}) if key not in way.auth]
    named = [f"--auth {way.name}"] if way is not offer.ways[0] else []
    return " ".join([offer.name, *named, *own, "--url https://bridge.example.com --wait"])


def _becomes(mapping: Mapping) -> Iterator[str]:
    correlation, severity = mapping.tree.get("correlation"), mapping.tree.get("severity")
    identity = correlation.get("id") if correlation is not None else None
    yield f"- One problem is what has the same {code(text_of(identity.value if identity is not None else None))}."
    origin = severity.get("from") if severity is not None else None
    if origin is not None:
        yield f"- Its severity comes from {code(text_of(origin.value))}."
    if mapping.personal:
        yield f"- Personal data is in {', '.join(code(name) for name in sorted(mapping.personal))}."
    observables = mapping.tree.get("observables")
    if observables is not None:
        kinds = (f"{kind} ({code(written_value(node.value))})" for kind, node in observables.items())
        yield f"- Observables: {', '.join(kinds)}."


def _example(offer: Offer) -> Iterator[str]:
    test = offer.mapping.tests[0]
    body = (offer.folder / str(test["alert"])).read_bytes()
    yield from (f"The sample [{test['alert']}](../../mappings/{test['alert']}):", "", "```json")
    yield json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    yield from ("```", "")
    rendered, target, severity = _rendered(offer.mapping, decode(body).value, int(test.get("element", 0)))
    yield from (f"opens on `{target}` ({severity.word}):", "", "| Column | Value |", "|---|---|")
    values = rendered.fields | {column: find_text(find) for column, find in rendered.finds.items()}
    for column, value in sorted(values.items()):
        yield f"| `{column}` | {cell('<br>'.join(code(line) for line in value.splitlines() if line.strip()))} |"
    for one in rendered.observables:
        yield f"| observable {one.kind} | {cell(code(one.value))} |"
    yield ""


def _rendered(mapping: Mapping, document: Json, at: int) -> tuple[Rendered, str, Severity]:
    element = mapping.split(document)[0][at]
    mapped = mapping.map(element)
    assert mapped.target is not None
    facts = Facts(
        severity=mapped.severity,
        status=mapped.status,
        source=mapping.name,
        mapping=mapping.name,
        now=NOW,
        first_seen=mapped.event_time or NOW,
        last_seen=mapped.event_time or NOW,
        repeat_count=1,
        correlation_id=mapped.correlation_id,
    )
    return mapping.render(element, Kind.CREATE, facts, TABLES[mapped.target]), mapped.target, mapped.severity


def code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def _plain(text: str) -> str:
    """`<url>` as text of the page, not as HTML."""
    return re.sub(r"<(\w+)>", r"`<\1>`", text)


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    for path in FOLDER.glob("*.md"):
        if path.name not in pages():
            path.unlink()

"""`bridge sources`: which products there are, and connecting one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_folder import optional_config
from bridge.cli.options import CONFIG_DEFAULT, example, json_option
from bridge.cli.sources_add import add, no_such_product
from bridge.cli.sources_test import test

if TYPE_CHECKING:
    from bridge.alert import Json
    from bridge.products import Offer

AS_IT_IS = "as it is"
COLUMNS = ("PRODUCT", "NAME", "EVIDENCE", "AUTH", "ENVELOPE", "CLOSES WHEN", "SOURCES")


@click.group(epilog=example("bridge sources list", "bridge sources add github", "bridge sources test github"))
def sources() -> None:
    """See which products there are, connect one, and try it."""


@sources.command(
    "list",
    epilog=example(
        "bridge sources list", "bridge sources list github guardduty --json | jq '.[] | {product, evidence}'"
    ),
)
@click.argument("names", nargs=-1, metavar="[PRODUCT]...")
@optional_config
@json_option("An array with one object for each product")
def list_command(names: tuple[str, ...], config: Path | None, *, as_json: bool) -> None:
    """The products that can be connected, and the sources that are.

    EVIDENCE: confirmed, when real bodies of the product were seen; unconfirmed, when it is written from documentation;
    partly, when both. AUTH: how the product can prove itself, the best first. CLOSES WHEN: what ends an incident,
    where the product says so at all. A product that the bridge ships, and that the mappings
    folder does not have yet, comes with `bridge sources add`.
    """
    from bridge.cli.output import plain, show_json, show_table
    from bridge.products import names_of, offers

    folder, used = _folder_and_sources(config)
    places = names_of(folder)
    if unknown := [name for name in names if name not in places]:
        raise no_such_product(unknown[0], places)
    found, problems = offers({name: places[name] for name in names} if names else places, folder)
    for problem in problems:
        click.echo(f"warning: left out, for it does not compile: {plain(problem)}", err=True)
    if as_json:
        show_json([_as_object(offer, used.get(offer.name, [])) for offer in found])
        return
    show_table(COLUMNS, [_row(offer, used.get(offer.name, [])) for offer in found], empty="There is no mapping here.")


for command in (add, test):
    sources.add_command(command)


def _folder_and_sources(config: Path | None) -> tuple[Path, dict[str, list[str]]]:
    """(the mappings folder, mapping -> the sources that use it)"""
    if config is None and not CONFIG_DEFAULT.exists():
        return Path("mappings"), {}
    from bridge.settings.load import load

    settings = load(config or CONFIG_DEFAULT)
    used: dict[str, list[str]] = {}
    for source in settings.sources.values():
        used.setdefault(source.mapping, []).append(source.name)
    return settings.mappings_path, used


def _row(offer: Offer, used: list[str]) -> tuple[str, ...]:
    return (
        offer.name,
        offer.label,
        offer.product.evidence if offer.product is not None else "",
        ", ".join(way.name for way in offer.ways),
        ", ".join(dict.fromkeys(way.envelope or AS_IT_IS for way in offer.ways)),
        offer.closes_when or "(a person closes)",
        ", ".join(used),
    )


def _as_object(offer: Offer, used: list[str]) -> dict[str, Json]:
    product = offer.product
    ways: list[Json] = [
        {"name": way.name, "auth": way.auth, "envelope": way.envelope, "secret_given": way.secret_given}
        for way in offer.ways
    ]
    return {
        "product": offer.name,
        "name": offer.label,
        "evidence": product.evidence if product is not None else None,
        "confirmed": (product.confirmed or None) if product is not None else None,
        "unconfirmed": (product.unconfirmed or None) if product is not None else None,
        "sends": product.sends if product is not None else None,
        "not_mapped": list(product.not_mapped) if product is not None else [],
        "calls_from": product.calls_from if product is not None else None,
        "auth": ways,
        "closes_when": offer.closes_when or None,
        "retries": product.retries if product is not None else None,
        "notes": list(product.notes) if product is not None else [],
        "shipped": offer.shipped,
        "sources": list(used),
    }

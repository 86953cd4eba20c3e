"""`bridge sources add`: a product connected: its source, a secret for it, and what to do in the product's console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.init_files import SERVE_URL
from bridge.cli.options import config_option, example, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.alert import Json
    from bridge.connecting import Connection
    from bridge.mapping.product import Way
    from bridge.products import Offer
    from bridge.settings import Settings, Source
    from bridge.store.arrivals import TurnedAway

REACH_SECONDS = 3.0


@click.command(
    epilog=example(
        "bridge sources add github --url https://bridge.example.com --wait",
        "bridge sources add alertmanager --auth basic --name alertmanager-eu",
        "bridge sources add guardduty --set topics=arn:aws:sns:eu-central-1:123456789012:findings",
    )
)
@click.argument("product")
@click.option("--name", metavar="NAME", help="Of the source, in its URL; the product's when left out.")
@click.option("--auth", "way", metavar="WAY", help="How the product proves itself; the first of `sources list`.")
@click.option("--set", "own", multiple=True, metavar="KEY=VALUE", help="What `auth` needs and only you know.")
@click.option(
    "--url", default=SERVE_URL, show_default=True, metavar="URL", help="Where the product reaches the bridge."
)
@click.option("--wait", is_flag=True, help="Wait for the first delivery, and show what it became.")
@config_option
@json_option("One object, and with --wait a second one")
def add(
    product: str,
    name: str | None,
    way: str | None,
    own: tuple[str, ...],
    url: str,
    config: Path,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Connect a product.

    Writes its source into bridge.yaml, and says what to do in the product's console.

    A fresh secret goes to var/NAME.secret, which only you can read; where the product makes the secret, that file is
    empty and yours to fill. Of bridge.yaml every line stays as it is. A bridge that runs takes the source by itself.
    What is printed holds the secret: it is shown this once.

    Exits 2, with nothing written, when there is no such product, when the source exists, or when bridge.yaml or the
    mapping would be wrong with it.
    """
    from bridge.cli.mapping_files import replace_file
    from bridge.connecting import Wanted, connection, write
    from bridge.settings.load import load

    settings = load(config)
    offer = _offer(product, settings)
    wanted = Wanted(offer=offer, name=name or offer.name, way=_way(offer, way), own=_own(own), base=_base(url))
    made = connection(settings, wanted)
    after = _newest(config) if wait else 0  # an earlier source of this name may have left deliveries
    try:
        write(made)
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    # All that the source needs is there, and nothing uses it. If we die here, the next try names the file in its way.
    replace_file(config, made.text)
    if as_json:
        _show_json(made, wanted.way)
    else:
        _show(made, settings, wanted.way)
    if wait:
        _warn_if_nobody_listens(url)
        _wait(config, made.source, after, as_json=as_json)


def _offer(product: str, settings: Settings) -> Offer:
    from bridge.products import names_of, offer_of

    folder = settings.mappings_path
    places = names_of(folder)
    if product not in places:
        raise no_such_product(product, places)
    return offer_of(product, places[product], folder)


def no_such_product(product: str, places: Iterable[str]) -> click.UsageError:
    from bridge.mapping.language import nearest

    return click.UsageError(
        f"there is no product {product} ({nearest(product, sorted(places))}); `bridge sources list` shows them, "
        "docs/adding-a-source.md says how to add one"
    )


def _way(offer: Offer, named: str | None) -> Way:
    from bridge.mapping.language import nearest

    if named is None:
        return offer.ways[0]
    found = {way.name: way for way in offer.ways}
    if named not in found:
        raise click.UsageError(f"{offer.label} does not prove itself by {named}: {nearest(named, list(found))}")
    return found[named]


def _own(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        key, _, value = one.partition("=")
        if not key or not value:
            raise click.BadParameter(f"{one!r} is not KEY=VALUE", param_hint="--set")
        found[key] = value
    return found


def _base(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise click.BadParameter(f"{url!r} is not a URL such as https://bridge.example.com", param_hint="--url")
    return url


def _show(made: Connection, settings: Settings, way: Way) -> None:
    from bridge.cli.output import plain, show_facts

    for path in made.files:
        click.echo(f"wrote {path}")
    if made.secret_file is not None:
        click.echo(f"wrote {made.secret_file} (mode 0600{', empty' if way.secret_given else ''})")
    click.echo(f"wrote {settings.file}: the source {made.source.name}; a bridge that runs takes it within a second")
    click.echo()
    facts = [("URL", made.url), ("Header", made.header), ("Secret", made.secret), ("User", made.source.auth.username)]
    show_facts(facts)
    label = made.product.name if made.product is not None else "the product"
    if way.secret_given:
        click.echo(f"\n{label} makes the secret: write it into {made.secret_file}.")
        click.echo("Until then the bridge takes nothing of this source, nor another change of `sources`.")
    if made.steps:
        click.echo(f"\nTo set up {label}:")
    for number, step in enumerate(made.steps, 1):
        first, *snippet = plain(step).splitlines()
        click.echo(f"{number:3}. {first}")
        for line in snippet:
            click.echo(f"       {line}")
    for line in _notes(made):
        click.echo(line)


def _notes(made: Connection) -> list[str]:
    from urllib.parse import urlsplit

    notes = [f"- {note}" for note in made.product.notes] if made.product is not None else []
    told = ["", "To know:", *notes] if notes else []
    host = urlsplit(made.url).hostname or ""
    if made.product is not None and made.product.calls_from == "cloud" and host in ("127.0.0.1", "localhost", "::1"):
        told += [
            "",
            "It calls from the internet: docs/sources/README.md says how that reaches a bridge inside a network;",
        ]
        told += ["--url then says where."]
    return [*told, "", f"`bridge sources test {made.source.name}` posts a sample as the product would."]


def _show_json(made: Connection, way: Way) -> None:
    from bridge.cli.output import show_json

    show_json(_as_object(made, way))


def _as_object(made: Connection, way: Way) -> dict[str, Json]:
    return {
        "source": made.source.name,
        "mapping": made.source.mapping,
        "auth": way.name,
        "url": made.url,
        "header": made.header or None,
        "secret_file": str(made.secret_file) if made.secret_file is not None else None,
        "secret_given": way.secret_given,
        "steps": list(made.steps),
        "wrote": [str(path) for path in made.files],
    }


def _newest(config: Path) -> int:
    from bridge.cli.opening import opened
    from bridge.store.arrivals import newest_delivery

    with opened(config) as (_, store), store.reading() as tx:
        return newest_delivery(tx)


def _warn_if_nobody_listens(url: str) -> None:
    """A warning, no more: the product may see a name that this machine does not."""
    import requests

    try:
        with requests.Session() as http:
            http.trust_env = False
            http.get(f"{url.rstrip('/')}/livez", timeout=REACH_SECONDS, allow_redirects=False)
    except requests.RequestException:
        told = f"warning: nothing answers at {url}, as seen from here. Is `bridge serve` running, and --url right?"
        click.echo(told, err=True)


def _wait(config: Path, source: Source, after: int, *, as_json: bool) -> None:
    from bridge.cli.opening import opened
    from bridge.cli.output import show_json
    from bridge.cli.sources_watch import as_object, show, wait_for_first, wait_until_settled

    click.echo(f"\nWaiting for the first delivery of {source.name} (Ctrl+C ends the waiting alone) …", err=True)
    try:
        with opened(config) as (_, store):
            arrival = wait_for_first(store, source.name, after, _still_waiting)
            click.echo(f"Delivery {arrival.delivery} arrived.", err=True)
            became = wait_until_settled(store, arrival, source.tenant)
    except KeyboardInterrupt:
        click.echo(f"Not waiting any longer. The source {source.name} stays.", err=True)
        raise click.exceptions.Exit(130) from None
    if as_json:
        show_json(as_object(arrival, became))
    else:
        show(arrival, became)


def _still_waiting(refused: TurnedAway | None) -> None:
    if refused is None:
        click.echo("Nothing yet …", err=True)
        return
    reasons = ", ".join(f"{reason} ({many})" for reason, many in sorted(refused.reasons.items()))
    click.echo(f"Nothing yet that could be taken; turned away: {reasons}. Is the secret the one above? …", err=True)

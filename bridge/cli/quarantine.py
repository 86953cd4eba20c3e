"""`bridge quarantine`: alerts that are held because they could not be mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, counted, show_json, show_table

if TYPE_CHECKING:
    from bridge.library import Library
    from bridge.settings import Settings
    from bridge.store.engine import Store
    from bridge.store.replay import Replayed
    from bridge.store.rows import AlertId


@click.group(epilog=example("bridge quarantine list", "bridge quarantine replay --all"))
def quarantine() -> None:
    """See, replay and discard alerts that could not be mapped."""


@quarantine.command("list", epilog=example("bridge quarantine list", "bridge quarantine list --json"))
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def list_command(config: Path, limit: int, *, as_json: bool) -> None:
    """What waits, newest first, and why."""
    from bridge.alert import Outcome
    from bridge.store.queries import list_alerts

    with opened(config) as (_, store), store.reading() as tx:
        found = list_alerts(tx, limit=limit, outcome=Outcome.QUARANTINED)
        now = store.now(tx)
    if as_json:
        show_json(found)
        return
    rows = [(a.id, a.source, age(a.received_at, now), a.reason, a.detail) for a in found]
    show_table(("ID", "SOURCE", "RECEIVED", "REASON", "WHAT TO DO"), rows, empty="Nothing is quarantined.")


@quarantine.command("replay", epilog=example("bridge quarantine replay 12-0 12-3", "bridge quarantine replay --all"))
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that is quarantined.")
@config_option
@json_option("One object")
def replay_command(ids: tuple[str, ...], config: Path, *, everything: bool, as_json: bool) -> None:
    """Map quarantined alerts again, with the mappings in use.

    What changed on disk comes into use first, unless bridge.yaml says `reload: publish_only`.

    What maps now is accepted as if it had just been received; the rest stays where it is.
    """
    if bool(ids) == everything:
        raise click.UsageError("name the alerts to replay, or say --all")
    from bridge.library import Library
    from bridge.publishing import publish

    wanted = [alert_key(text) for text in ids]
    with opened(config) as (settings, store):
        _refuse_absent(store, wanted)
        library = Library(publish(settings, store, actor=actor()))
        total = replay_these(settings, store, library, wanted if ids else None)
    if as_json:
        show_json(total)
        return
    click.echo(f"{total.mapped} mapped, {total.waiting} still quarantined.")
    if total.waiting:
        click.echo("`bridge quarantine list` says why.")


@quarantine.command(
    "discard",
    epilog=example(
        "bridge quarantine discard 12-0 12-3 --reason 'a test of the vendor'",
        "bridge quarantine discard --all --source old-siem --reason 'switched off in May'",
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that is quarantined now.")
@click.option("--source", metavar="NAME", help="With --all: only of this source.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the log, with your name.")
@config_option
@json_option("One object")
def discard_command(
    ids: tuple[str, ...], config: Path, source: str | None, reason: str, *, everything: bool, as_json: bool
) -> None:
    """Take out of quarantine what can never be mapped.

    Such an alert counts as dropped, with the reason `discarded`, and is not replayed any more. Its delivery is kept.
    """
    if bool(ids) == everything:
        raise click.UsageError("name the alerts to discard, or say --all")
    if source is not None and not everything:
        raise click.UsageError("--source goes with --all")
    if not reason.strip():
        raise click.BadParameter("say why, for those who read the log", param_hint="--reason")
    from bridge.store.discard import discard

    wanted = [alert_key(text) for text in ids]
    discarded = 0
    with opened(config) as (_, store):
        _refuse_absent(store, wanted)
        for page in list(_pages(store, wanted if ids else None, source)):  # what arrives from now on was not meant
            with store.transaction() as tx:
                discarded += discard(tx, page, reason=reason.strip(), actor=actor(), now=store.now(tx))
    if as_json:
        show_json({"discarded": discarded})
        return
    click.echo(f"{counted(discarded, 'alert')} discarded." if discarded else "Nothing was discarded.")


def alert_key(text: str) -> AlertId:
    from bridge.store.queries import alert_id_of

    key = alert_id_of(text)
    if key is None:
        raise click.BadParameter(
            f"{text} is not the ID of an alert, as 12-0 is; `bridge alerts list` shows them", param_hint="ID"
        )
    return key


def _refuse_absent(store: Store, wanted: list[AlertId]) -> None:
    """Before anything is done: a mistyped ID must not look like a success."""
    from bridge.alert import Outcome
    from bridge.errors import Permanent
    from bridge.store.queries import show_alert

    with store.reading() as tx:
        for key in wanted:
            story = show_alert(tx, key)
            if story is None or story.alert.outcome != Outcome.QUARANTINED:
                text = f"alert {key[0]}-{key[1]} is not in quarantine; `bridge quarantine list` shows what is"
                raise Permanent("not_quarantined", text)


def replay_these(settings: Settings, store: Store, library: Library, wanted: list[AlertId] | None) -> Replayed:
    from bridge.store.replay import Replayed, replay

    mapping_of = {source.name: source.mapping for source in settings.sources.values()}
    total = Replayed()
    for page in _pages(store, wanted):
        total += replay(store, page, library=library, mapping_of=mapping_of, actor=actor())
    return total


def _pages(store: Store, wanted: list[AlertId] | None, source: str | None = None) -> Iterator[Sequence[AlertId]]:
    from bridge.store.replay import PAGE, quarantined

    if wanted is not None:
        ordered = sorted(set(wanted))
        yield from (ordered[start : start + PAGE] for start in range(0, len(ordered), PAGE))
        return
    after = (0, -1)
    while True:
        with store.reading() as tx:
            page = quarantined(tx, source=source, after=after)
        if not page:
            return
        yield page
        after = page[-1]

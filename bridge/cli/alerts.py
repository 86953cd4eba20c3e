"""`bridge alerts`: what was received, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, counted, plain, show_facts, show_json, show_table, to_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bridge.alert import Json
    from bridge.errors import Permanent
    from bridge.store.rows import AlertStory


@click.group(epilog=example("bridge alerts list --limit 5", "bridge alerts show 12-0 --raw"))
def alerts() -> None:
    """Look at what was received, and take it up again."""


@alerts.command(
    "list", epilog=example("bridge alerts list --limit 5", "bridge alerts list --json | jq '.[0].severity'")
)
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def list_command(config: Path, limit: int, *, as_json: bool) -> None:
    """The newest alerts, newest first."""
    from bridge.store.queries import list_alerts

    with opened(config) as (_, store), store.reading() as tx:
        found = list_alerts(tx, limit=limit)
        now = store.now(tx)
    if as_json:
        show_json(found)
        return
    columns = ("ID", "SOURCE", "RECEIVED", "OUTCOME", "REASON", "STATUS", "SEVERITY", "CORRELATION ID")
    rows = [
        (a.id, a.source, age(a.received_at, now), a.outcome, a.reason, a.status, a.severity, a.correlation_id)
        for a in found
    ]
    show_table(columns, rows, empty="No alerts yet: post one to /hooks/<source>.")


@alerts.command("show", epilog=example("bridge alerts show 12-0", "bridge alerts show 12-0 --json --raw"))
@click.argument("alert_id", metavar="ID")
@config_option
@json_option("One object")
@limit_option("Accepted as everywhere; an alert is one.")
@click.option("--raw", is_flag=True, help="The delivery's body as well, as it was received.")
def show_command(alert_id: str, config: Path, limit: int, *, as_json: bool, raw: bool) -> None:  # noqa: ARG001
    """Everything that is known of one alert."""
    from bridge.store.queries import alert_id_of, body_of, show_alert

    with opened(config) as (_, store), store.reading() as tx:
        key = alert_id_of(alert_id)
        story = show_alert(tx, key) if key is not None else None
        if story is None:
            raise _no_such_alert(tx, alert_id)
        body = _body(body_of(tx, story.delivery.id)) if raw else None
    if as_json:
        show_json(_as_object(story) | ({"body": body} if raw else {}))
        return
    _show(story)
    if raw:
        click.echo()
        if isinstance(body, str | None):
            click.echo(body or "The body was erased.")
        else:
            show_json(body)


@alerts.command("replay", epilog=example("bridge alerts replay 12-0 12-3"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@config_option
@json_option("One object")
def replay_command(ids: tuple[str, ...], config: Path, *, as_json: bool) -> None:
    """Take alerts up again, with the mappings in use.

    What was quarantined or dropped is mapped again, as if it had just been received. Of what was accepted or suppressed
    the problem is looked at again; it is not counted twice.
    """
    from bridge.alert import Outcome
    from bridge.cli.quarantine import alert_key, replay_these
    from bridge.library import Library
    from bridge.publishing import publish
    from bridge.store.discard import bring_back
    from bridge.store.orders import ask_sync
    from bridge.store.queries import find_correlations, show_alert

    keys = sorted({alert_key(text) for text in ids})
    with opened(config) as (settings, store):
        with store.reading() as tx:
            stories = {key: show_alert(tx, key) for key in keys}
            for (delivery, position), story in stories.items():
                if story is None:
                    raise _no_such_alert(tx, f"{delivery}-{position}")
        found = {key: story for key, story in stories.items() if story is not None}
        out = (Outcome.QUARANTINED.value, Outcome.DROPPED.value)
        again = [key for key, story in found.items() if story.alert.outcome in out]
        library = Library(publish(settings, store, actor=actor()))
        with store.transaction() as tx:
            bring_back(tx, again, actor=actor(), now=store.now(tx))
        # Committed: what was dropped waits in quarantine. If we die here it is replayed from there.
        replayed = replay_these(settings, store, library, again)
        problems = {}
        with store.transaction() as tx:
            for key in found.keys() - set(again):
                about = found[key]
                for row in find_correlations(tx, about.alert.correlation_id or ""):
                    if row.tenant == about.delivery.tenant:
                        problems[row.row_id] = row
            ask_sync(tx, list(problems.values()), actor=actor(), now=store.now(tx))
    done = {"mapped": replayed.mapped, "waiting": replayed.waiting, "looked_at": len(problems)}
    if as_json:
        show_json(done)
        return
    if again:
        click.echo(f"{replayed.mapped} mapped, {replayed.waiting} quarantined.")
    if problems:
        click.echo(
            f"{counted(len(problems), 'problem')} looked at again; `bridge incidents list` shows what comes of it."
        )


def _no_such_alert(tx: Connection, words: str) -> Permanent:
    from bridge.errors import Permanent
    from bridge.store.queries import alert_id_of, show_alert

    first = alert_id_of(f"{words}-0")  # the number of a delivery is half of an ID
    hint = f" (did you mean {words}-0?)" if first is not None and show_alert(tx, first) is not None else ""
    return Permanent("no_such_alert", f"there is no alert {words}{hint}; `bridge alerts list` shows their IDs")


def _body(raw: bytes | None) -> Json:
    """As JSON where it is JSON; else its text, with what is not text spelled out."""
    import msgspec

    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return plain(raw.decode("utf-8", "backslashreplace"))


def _as_object(story: AlertStory) -> dict[str, Json]:
    return {
        **to_json(story.alert),
        "event_time_replaced": _replaced(story) or None,
        "seq": story.seq,
        "incident": story.number,
        "delivery": to_json(story.delivery),
        "revision": to_json(story.revision),
    }


def _replaced(story: AlertStory) -> str:
    from bridge.store.correlation_state import replaced_time

    return replaced_time(story.alert.event_time, story.alert.received_at)


def _show(story: AlertStory) -> None:
    alert, delivery, revision = story.alert, story.delivery, story.revision
    replaced = _replaced(story)
    whole = f"one of {delivery.alerts} alerts" if delivery.alerts > 1 else "its only alert"
    body = f"{delivery.body_bytes} bytes of {delivery.content_type}" if delivery.body_bytes is not None else "erased"
    show_facts(
        [
            ("Alert", alert.id),
            ("Outcome", alert.outcome),
            ("Reason", alert.reason),
            ("What to do", alert.detail),
            ("Correlation ID", alert.correlation_id),
            ("Place in it", story.seq),
            ("Incident", story.number),
            ("Status", alert.status),
            ("Severity", alert.severity),
            ("Happened", f"{plain(alert.event_time)} ({replaced})" if replaced else alert.event_time),
            ("Received", alert.received_at),
            ("Target", alert.target),
            ("Stands for", "the rest of its delivery" if alert.covers_rest else None),
            ("Source", delivery.source),
            ("Tenant", delivery.tenant),
            ("Delivery", f"{delivery.id}, {whole}"),
            ("Sender's ID", delivery.sender_id),
            ("Body", body),
            ("Fingerprint", delivery.fingerprint),
            ("Mapping", f"{revision.mapping}, revision {revision.digest[:12]}" if revision else None),
        ]
    )

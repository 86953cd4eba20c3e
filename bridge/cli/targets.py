"""`bridge targets`: where incidents go, and the brake that a person pulls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, counted, show_json, show_table, to_json

if TYPE_CHECKING:
    from bridge.settings import Settings


@click.group(epilog=example("bridge targets list", "bridge targets pause itsm"))
def targets() -> None:
    """See, pause, resume and release where incidents go."""


@targets.command("list", epilog=example("bridge targets list --json"))
@config_option
@json_option("An array of objects")
@limit_option("The first N.")
def list_command(config: Path, limit: int, *, as_json: bool) -> None:
    """Targets: what they may do, and what waits for them."""
    from bridge.store.queries import target_state

    with opened(config) as (settings, store), store.reading() as tx:
        now = store.now(tx)
        found = [
            (one, target_state(tx, one.name, instance=one.instance, table=one.table, now=now))
            for one in list(settings.targets.values())[:limit]
        ]
    if as_json:
        show_json(
            [
                {
                    "name": target.name,
                    "instance": target.instance,
                    "table": target.table,
                    "tenant": target.tenant,
                    "mode": target.mode,
                    "paused": state.paused_at is not None,
                    **{key: value for key, value in to_json(state).items() if key != "name"},
                }
                for target, state in found
            ]
        )
        return
    columns = ("TARGET", "INSTANCE", "TABLE", "TENANT", "MODE", "STATE", "OPEN", "DUE", "HELD", "FOR A PERSON")
    rows = [
        (
            target.name,
            target.instance,
            target.table,
            target.tenant,
            target.mode,
            f"paused {age(state.paused_at, now)} by {state.paused_by}" if state.paused_at else "running",
            state.open_incidents,
            state.due,
            state.held,
            state.waiting_for_person,
        )
        for target, state in found
    ]
    show_table(columns, rows, empty=f"{config} names no targets: alerts are received and go nowhere.")


@targets.command("pause", epilog=example("bridge targets pause itsm"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@config_option
def pause_command(names: tuple[str, ...], config: Path) -> None:
    """Hold all writes to targets.

    Alerts are still received; the work stays due, and is done after `resume`.
    """
    from bridge.store.orders import pause

    with opened(config) as (settings, store):
        _refuse_unknown(names, settings)
        for name in names:
            with store.transaction() as tx:
                changed = pause(tx, name, actor=actor(), now=store.now(tx))
            click.echo(f"{name}: paused; `bridge targets resume {name}` ends it" if changed else f"{name}: was paused")


@targets.command("resume", epilog=example("bridge targets resume itsm"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@config_option
def resume_command(names: tuple[str, ...], config: Path) -> None:
    """Let writes to targets go on. What became due meanwhile follows at once."""
    from bridge.store.orders import resume

    with opened(config) as (settings, store):
        _refuse_unknown(names, settings)
        for name in names:
            with store.transaction() as tx:
                changed = resume(tx, name, actor=actor(), now=store.now(tx))
            click.echo(f"{name}: running again" if changed else f"{name}: was not paused")


@targets.command("release", epilog=example("bridge targets release itsm"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@config_option
@json_option("An array of objects")
def release_command(names: tuple[str, ...], config: Path, *, as_json: bool) -> None:
    """Let go what the brakes of targets hold now.

    Creates above `max_creates_per_hour`, the worst first, and closes of twins above five an hour. What comes later is
    held as ever.
    """
    from bridge.store.brake import release

    done: list[dict[str, Any]] = []
    with opened(config) as (settings, store):
        _refuse_unknown(names, settings)
        for name in names:
            target = settings.targets[name]
            with store.transaction() as tx:
                place = {"instance": target.instance, "table": target.table}
                problems, twins = release(tx, name, **place, actor=actor(), now=store.now(tx))
            done.append({"name": name, "problems": problems, "twins": twins})
    if as_json:
        show_json(done)
        return
    for one in done:
        let_go = f"{counted(one['problems'], 'problem')} and {counted(one['twins'], 'twin')} are let go"
        click.echo(f"{one['name']}: {let_go if one['problems'] or one['twins'] else 'nothing was held'}")


def _refuse_unknown(names: tuple[str, ...], settings: Settings) -> None:
    known = ", ".join(settings.targets) or "none"
    for name in names:
        if name not in settings.targets:
            raise click.UsageError(f"there is no target {name} in {settings.file}; known: {known}")

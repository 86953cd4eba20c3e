"""`bridge demo`: the main job for real, scene by scene, on the simulator and a database of its own."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import example

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bridge.demo.scenes import Scene
    from bridge.demo.world import World

FOLDER = Path(".demo")


@click.command(epilog=example("bridge demo", "bridge demo --keep"))
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, for alerts of your own.")
def demo(*, keep: bool) -> None:
    """Run the main job on real processes in ./.demo: alerts of several products in, ServiceNow incidents out.

    Exits 0 when every scene came true, else 1.
    """
    # All of it before a signal may come: one that meets a dataclass in the making, which is executed text, ends Python
    # by SIGINT (CPython's _Py_UnhandledKeyboardInterrupt), however well it is handled.
    from bridge.demo import scenes
    from bridge.demo.world import World
    from bridge.errors import BridgeError
    from bridge.wiring import utc_now

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    world = World(FOLDER.resolve())
    try:
        with world:
            click.echo(
                f"ServiceNow simulator on {world.simulator}, bridge on {world.bridge}, everything in {FOLDER}/\n"
            )
            _play(world, scenes.SCENES, utc_now)
            _show(world)
            if keep:
                _keep(world)
    except BridgeError as error:
        click.secho(f"✗ {error.message}", fg="red", err=True)
        if logs := world.logs():
            click.echo(logs, err=True)
        raise click.exceptions.Exit(1) from error


def _play(world: World, scenes: Sequence[Scene], clock: Callable[[], datetime]) -> None:
    """Raises Permanent at the first scene that does not come true: those after it build on it."""
    from bridge.errors import BridgeError, Permanent

    for scene in scenes:
        began = time.monotonic()
        try:
            said = scene(world, clock())
        except BridgeError as error:
            raise Permanent("demo_untrue", f"{scene.__name__.replace('_', ' ')}: {error.message}") from error
        took = click.style(f"({time.monotonic() - began:.1f} s)", dim=True)
        click.echo(f"{click.style('✓', fg='green')} {said}  {took}")


def _show(world: World) -> None:
    from bridge.cli.output import show_table

    rows = world.command("incidents", "list")
    click.echo()
    show_table(
        ["INCIDENT", "STATUS", "SEVERITY", "ALERTS", "TARGET", "LAST DECISION", "CORRELATION ID"],
        [
            [
                row["number"],
                row["status"],
                row["severity"],
                row["count"],
                row["target"],
                row["last_decision"],
                row["correlation_id"],
            ]
            for row in reversed(rows)
        ],
        empty="no incidents",
    )
    alerts = sum(int(row["count"]) for row in rows)
    sent = f"{world.posted} deliveries were posted; {world.repeated} of them came again and changed nothing"
    entries = Counter(entry["action"] for entry in world.command("log", "show", "--limit", "10000"))
    click.echo(f"\n{sent}; {alerts} alerts became {len(rows)} incidents.")
    click.echo(
        f"The correlation log holds {entries.total()} entries: "
        + ", ".join(f"{count} {action}" for action, count in entries.most_common())
        + "."
    )
    click.echo()
    story = f".venv/bin/bridge incidents show {rows[-1]['number']} --config {FOLDER / 'bridge.yaml'}"
    verified = f".venv/bin/bridge log verify {FOLDER / 'log.jsonl'} --key {FOLDER / 'var/log.pub'}"
    click.echo(
        "Look next:\n"
        f"  {story}   # the whole story of one\n"
        f"  {verified:{len(story)}}   # what an auditor does\n"
        f"  {'make demo KEEP=1':{len(story)}}   # leaves everything running, with a curl for your own alert\n"
        f"  {'.venv/bin/bridge init my-bridge':{len(story)}}   # a bridge of your own, on the simulator"
    )


def _keep(world: World) -> None:
    from bridge.cli.init_files import ALERT

    click.echo(
        f"\nRunning until Ctrl-C. The incidents: {world.simulator}/\nYour own alert:\n"
        f"  curl -H 'Content-Type: application/json' -d '{ALERT}' {world.bridge}/hooks/try"
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo("\nStopping.")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt

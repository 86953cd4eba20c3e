"""`bridge mapping explain`: what a mapping makes of one alert, step by step, and why so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.mapping_folder import folder_and_tables, optional_config, recorded
from bridge.cli.options import CONFIG_DEFAULT, example, json_option

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from bridge.alert import Json
    from bridge.mapping.explanation import Explanation, Section, Step

VALUE_CHARS_MAX = 200  # of a value as text; --json has the whole
STYLES = {"taken": "green", "holds": "green", "lost": "yellow", "fails": "yellow", "not asked": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The delivery that ALERT names."""

    body: bytes
    element: int | None  # of a stored alert: its place in it
    source: str  # "" when it never came in
    received_at: datetime


@click.command(
    epilog=example(
        "bridge mapping explain elastic mappings/samples/elastic-batch.json --element 1",
        "bridge mapping explain elastic 12-0 --json | jq .route",
        "curl -s … | bridge mapping explain elastic -",
    )
)
@click.argument("mapping")
@click.argument("alert")
@click.option("--element", type=click.IntRange(min=0), metavar="N", help="Which alert of the delivery; 0, the first.")
@optional_config
@json_option("One object")
def explain(mapping: str, alert: str, element: int | None, config: Path | None, *, as_json: bool) -> None:
    """Say what MAPPING makes of ALERT, and why.

    Every step is told in order: its value, its place in the file, which of several was taken, and why others lost.

    ALERT is a JSON file with a whole delivery, `-` for standard input, or the ID of a stored alert such as 12-0, which
    is explained as of the time when it was received. It counts as the first alert of its problem.
    """
    from bridge.cli.output import show_json, show_lines
    from bridge.errors import Unmappable
    from bridge.mapping.explain import NoElement, Setting
    from bridge.mapping.explain import explain as explained
    from bridge.sources.document import decode

    folder, tables = folder_and_tables(config)
    compiled, recorder = recorded(folder, mapping)
    given = _given(alert, config)
    if element is not None and given.element is not None:
        raise click.UsageError(f"--element goes with a file: {alert} names one alert")
    at = given.element if given.element is not None else element or 0
    setting = Setting(now=given.received_at, source=given.source or mapping, tables=tables)
    try:
        explanation = explained(compiled, recorder, decode(given.body), at, setting)
    except Unmappable as error:  # no document at all: nothing of it reached the mapping
        raise Unmappable(error.code, f"{alert}: {error.message}") from error
    except NoElement as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        show_json(_as_object(explanation))
    else:
        show_lines(_lines(explanation))


def _given(alert: str, config: Path | None) -> Given:
    from bridge.store.queries import alert_id_of
    from bridge.wiring import utc_now

    if alert == "-":
        return Given(body=sys.stdin.buffer.read(), element=None, source="", received_at=utc_now())
    if (key := alert_id_of(alert)) is not None and not Path(alert).exists():
        return _stored(key, alert, config or CONFIG_DEFAULT)
    try:
        return Given(body=Path(alert).read_bytes(), element=None, source="", received_at=utc_now())
    except OSError as error:
        raise click.UsageError(f"{alert} cannot be read: {error.strerror}") from error


def _stored(key: tuple[int, int], alert: str, config: Path) -> Given:
    from bridge.cli.opening import opened
    from bridge.errors import Permanent
    from bridge.store.queries import content_of, show_alert

    with opened(config) as (_, store), store.reading() as tx:
        story = show_alert(tx, key)
        if story is None:
            raise Permanent("no_such_alert", f"there is no alert {alert}; `bridge alerts list` shows their IDs")
        body = content_of(tx, key[0])
    if body is None:
        raise Permanent("alert_erased", f"the body of {alert} was erased: only its row in `bridge alerts show` is left")
    return Given(body=body, element=key[1], source=story.alert.source, received_at=story.alert.received_at)


def _as_object(explanation: Explanation) -> Json:
    """The alert's own words stand at the top, as `jq` wants them; the sections follow."""
    from bridge.cli.output import to_json

    whole = to_json(explanation)
    sections, mapped = whole.pop("sections"), whole.pop("mapped")
    return {**whole, **(mapped or {}), "sections": sections}


def _lines(explanation: Explanation) -> Iterator[Text]:
    from rich.text import Text

    from bridge.cli.output import plain

    for line in _head(explanation):
        yield Text(plain(line))
    for section in explanation.sections:
        yield Text("")
        yield _section_line(section)
        for step in section.steps:
            yield from _step_lines(step, 1, "")


def _head(explanation: Explanation) -> Iterator[str]:
    from bridge.cli.output import time_text

    which = f"alert {explanation.element} of {explanation.elements} in its delivery" if explanation.elements > 1 else ""
    yield ", ".join(
        part
        for part in (f"{explanation.mapping}: {_outcome(explanation)}", which, f"as of {time_text(explanation.now)}")
        if part
    )
    if explanation.detail:
        yield explanation.detail


def _outcome(explanation: Explanation) -> str:
    because = f" ({explanation.reason})" if explanation.reason else ""
    mapped = explanation.mapped
    if mapped is None:
        return f"{explanation.outcome}{because}"
    to = f" to {mapped.target}" if mapped.target else ""
    return f"{explanation.outcome}{because}, {mapped.status.value}, {mapped.severity.word}{to}"


def _section_line(section: Section) -> Text:
    from rich.text import Text

    line = Text(section.name, style="bold")
    if section.value is not None:
        line.append(f": {_shown(section.value)}")
    if section.why:
        line.append(f"  {section.why}", style="dim")
    return line


def _step_lines(step: Step, depth: int, above: str) -> Iterator[Text]:
    """`above`: the place of the step around this one, which is not said again."""
    from rich.text import Text

    from bridge.cli.output import plain

    line = Text("  " * depth)
    if step.verdict:
        line.append(f"{step.verdict:<9} ", style=STYLES[step.verdict])
    line.append(plain(step.what))
    if step.verdict in ("holds", "fails"):
        line.append("" if step.parts else f"  saw {_shown(step.value)}")
    elif step.value is not None:
        line.append(f" = {_shown(step.value)}")
    if step.why:
        line.append(f"  {plain(step.why)}", style="dim")
    if step.place and step.place != above:
        line.append(f"  {plain(step.place)}", style="cyan")
    yield line
    for part in step.parts:
        yield from _step_lines(part, depth + 1, step.place or above)


def _shown(value: Json) -> str:
    """A value on one line: what is not a plain word as JSON."""
    from bridge.cli.output import plain
    from bridge.mapping.explanation import find_text
    from bridge.mapping.rendered import Find
    from bridge.mapping.values import cut, json_text

    if value is None:
        return "nothing"
    return cut(plain(find_text(value) if isinstance(value, Find) else json_text(value)), VALUE_CHARS_MAX)

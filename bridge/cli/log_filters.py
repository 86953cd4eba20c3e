"""What of the log is asked for: the options that the commands on it share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.moments import MOMENT, at, moment

if TYPE_CHECKING:
    from bridge.log.export import Filter

Moment = datetime | timedelta | None
Command = TypeVar("Command", bound=Callable[..., Any])


def words(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """A text that the store can be asked for."""
    if text == "":
        raise click.BadParameter("it is empty, as where a variable of the shell is not set; leave it out, or name one")
    return utf8(context, option, text)


def utf8(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """A text that can be stored. What is no UTF-8 comes from the shell as lone surrogates."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter(f"{text!a} is no UTF-8") from error
    return text


since_option = click.option("--since", callback=moment, metavar="T", help=f"Of this time or later. {MOMENT}")
until_option = click.option("--until", callback=moment, metavar="T", help="Before this time.")
_OPTIONS = (
    since_option,
    until_option,
    click.option("--source", callback=words, metavar="NAME", help="Only of this source."),
    click.option(
        "--correlation",
        callback=words,
        metavar="ID",
        help="Only of this correlation ID, or of those of an incident number; with the deliveries of its alerts.",
    ),
    click.option("--actor", callback=words, metavar="WHO", help="Only by cli:robin, source:elastic, sync, …"),
)


def filter_options(command: Command) -> Command:
    """--since, --until, --source, --correlation and --actor, under these names; `filter_of` takes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_of(now: datetime, since: Moment, until: Moment, **asked: str | None) -> Filter:
    """Raises click.UsageError when no time is between the two."""
    from bridge.log.export import Filter

    begins, ends = at(since, now), at(until, now)
    if begins is not None and ends is not None and begins >= ends:
        raise click.UsageError("--since is not before --until: no entry is of both")
    return Filter(since=begins, until=ends, **asked)  # type: ignore[arg-type]

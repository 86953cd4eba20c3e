"""`bridge mapping publish` and `rollback`: what is in use from now on, by whom and why."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option
from bridge.cli.output import plain, show_json
from bridge.errors import Misconfigured

if TYPE_CHECKING:
    from bridge.mapping.compile import Mapping
    from bridge.publishing import Change, Signed
    from bridge.settings import Settings
    from bridge.store.engine import Store

author_option = click.option(
    "--author",
    metavar="NAME",
    help="Who publishes. Default: the last commit's author, where the mappings are a clean git checkout, else you.",
)
note_option = click.option("--note", required=True, metavar="TEXT", help="Why; it stands in the log.")


@click.command("publish", epilog=example('bridge mapping publish elastic --note "high means P2 now"'))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@author_option
@note_option
@click.option(
    "--release", is_flag=True, help="Remove a mapping although it still keeps incidents in step: let them go."
)
@config_option
@json_option("An array with one object for each mapping")
def publish_command(
    names: tuple[str, ...], author: str | None, note: str, config: Path, *, release: bool, as_json: bool
) -> None:
    """Put mappings into use as they are on disk.

    Those of all sources and all published ones, or those named.

    All are compiled and their tests run first; with a mistake in one, none is published. A published mapping whose file
    is gone, and which no source names, is removed. A bridge that is running takes the change within a second.

    Exits 1 when a mapping is wrong, or one that is removed still keeps incidents in step.
    """
    from bridge.publishing import on_disk, put_into_use, refuse_failing

    with opened(config) as (settings, store):
        try:
            chosen, before = on_disk(settings, store, names)
            found = [mapping for mapping in chosen.values() if mapping is not None]
            refuse_failing(settings, [mapping for mapping in found if mapping.digest != before.get(mapping.name)])
        except Misconfigured as error:
            raise _wrong(error) from error
        disk = {mapping.name: mapping.digest for mapping in found}
        signed = _signed(settings, author, note)
        changes = put_into_use(store, chosen, disk=disk, signed=signed, release=release)
    _tell(chosen, changes, as_json=as_json)


@click.command("rollback", epilog=example('bridge mapping rollback elastic 3f2a81c09d11 --note "too many incidents"'))
@click.argument("name")
@click.argument("revision")
@author_option
@note_option
@config_option
@json_option("An array with one object")
def rollback_command(name: str, revision: str, author: str | None, note: str, config: Path, *, as_json: bool) -> None:
    """Put an earlier revision of a mapping into use again. `bridge mapping revisions NAME` lists them.

    The files on disk are left as they are. Under `reload: auto` they stay out of use until they change again.
    Exits 1 when the revision cannot be used any more.
    """
    from bridge.mapping.load import compile_files
    from bridge.publishing import put_into_use
    from bridge.settings.routes import route_problems
    from bridge.store.revisions import find

    with opened(config) as (settings, store):
        with store.reading() as tx:
            found = find(tx, name, revision)
        try:
            mapping = compile_files(name, found.files)
            if problems := route_problems(settings, {name: mapping}):
                raise Misconfigured(problems)
        except Misconfigured as error:
            raise _wrong(error) from error
        disk = _disk_digest(settings, store, name)
        signed = _signed(settings, author, note, what="rolled_back")
        changes = put_into_use(store, {name: mapping}, disk={name: disk}, signed=signed)
    _tell({name: mapping}, changes, as_json=as_json)
    if disk != mapping.digest and not as_json:
        click.echo(
            "The files on disk are not this revision: they stay out of use until they change again, or until "
            f"`bridge mapping publish {name}`."
        )


def _wrong(error: Misconfigured) -> click.exceptions.Exit:
    """A mapping is wrong, not the command or bridge.yaml: status 1."""
    for problem in error.problems:
        click.echo(" ".join(plain(problem).split()), err=True)
    return click.exceptions.Exit(1)


def _signed(settings: Settings, author: str | None, note: str, *, what: str = "published") -> Signed:
    from bridge.cli.author import author_of
    from bridge.publishing import Signed

    if not note.strip():
        raise click.BadParameter("it is empty: say why", param_hint="--note")
    signed_by = author_of(settings.mappings_path, author, of_commit=what == "published")
    return Signed(author=signed_by, note=note, actor=actor(), what=what)


def _disk_digest(settings: Settings, store: Store, name: str) -> str | None:
    """None: what the disk holds cannot be used."""
    from bridge.publishing import load

    try:
        return load(settings, store.moment().date(), [name])[name].digest
    except Misconfigured:
        return None


def _tell(chosen: dict[str, Mapping | None], changes: Sequence[Change], *, as_json: bool) -> None:
    from bridge.library import REVISION_DIGITS

    changed = {change.mapping: change for change in changes}
    rows = [
        {
            "mapping": name,
            "revision": mapping.digest[:REVISION_DIGITS] if mapping is not None else None,
            "changed": name in changed,
            "old_revision": (changed[name].old or "")[:REVISION_DIGITS] or None if name in changed else None,
            "let_go": changed[name].let_go if name in changed else 0,
        }
        for name, mapping in chosen.items()
    ]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        click.echo(plain(_line(row)))


def _line(row: MappingType[str, object]) -> str:
    old = f" (before: {row['old_revision']})" if row["old_revision"] else ""
    let_go = f"; correlations let go: {row['let_go']}" if row["let_go"] else ""
    if row["revision"] is None:
        return f"{row['mapping']}: removed{old}{let_go}"
    return f"{row['mapping']}: {row['revision']} {'is in use now' if row['changed'] else 'was in use already'}{old}"

"""`bridge mapping revisions` and `diff`: what was in use, and what would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.opening import opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import plain, show_json, show_table
from bridge.errors import Misconfigured, Permanent

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.store.engine import Store

DISK = "disk"


@click.command(
    "revisions", epilog=example("bridge mapping revisions elastic", "bridge mapping revisions elastic --json")
)
@click.argument("name")
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def revisions_command(name: str, config: Path, limit: int, *, as_json: bool) -> None:
    """What was in use of a mapping, since when, and why.

    The newest first, and by whom it was put into use.
    """
    from bridge.library import REVISION_DIGITS
    from bridge.store.queries import ROWS_MAX
    from bridge.store.revisions import history

    with opened(config) as (_, store), store.reading() as tx:
        found = history(tx, name, limit=min(limit, ROWS_MAX))
    if not found:
        raise _never_published(name)
    rows = [
        {
            "revision": publication.digest[:REVISION_DIGITS] if publication.digest is not None else None,
            "digest": publication.digest,
            "in_use": index == 0 and publication.digest is not None,
            "published_at": publication.published_at,
            "author": publication.author.name,
            "author_known_by": publication.author.known_by,
            "author_verified": publication.author.known_by.verified,
            "note": publication.note,
        }
        for index, publication in enumerate(found)
    ]
    if as_json:
        show_json(rows)
        return
    columns = ("REVISION", "IN USE", "SINCE", "AUTHOR", "KNOWN BY", "NOTE")
    shown = [
        (
            row["revision"] or "(removed)",
            "in use" if row["in_use"] else "",
            row["published_at"],
            row["author"] or "unknown",
            str(row["author_known_by"]).replace("_", " "),
            row["note"],
        )
        for row in rows
    ]
    show_table(columns, shown, empty="")


@click.command("diff", epilog=example("bridge mapping diff elastic", "bridge mapping diff elastic 3f2a81c09d11"))
@click.argument("name")
@click.argument("revisions", nargs=-1, metavar="[REVISION [REVISION]]")
@config_option
@json_option("One object")
def diff_command(name: str, revisions: tuple[str, ...], config: Path, *, as_json: bool) -> None:
    """How the files of a mapping differ.

    Its includes among them: what is published from what is on disk; a revision from what is on disk; or one revision
    from another.
    """
    if len(revisions) > 2:
        raise click.UsageError("two revisions can be compared, not more")
    from bridge.mapping.difference import difference

    with opened(config) as (settings, store):
        (old, old_files), (new, new_files) = _sides(settings, store, name, revisions)
    lines = difference(old_files, new_files, old_label=old, new_label=new)
    if as_json:
        show_json({"mapping": name, "old": old, "new": new, "diff": lines})
    elif lines:
        click.echo("\n".join(plain(line) for line in lines))
    else:
        click.echo(f"{name}: {old} and {new} are the same.")


def _sides(
    settings: Settings, store: Store, name: str, wanted: tuple[str, ...]
) -> tuple[tuple[str, dict[str, str]], tuple[str, dict[str, str]]]:
    """(label, files) of the old and of the new."""
    from bridge.library import REVISION_DIGITS
    from bridge.store.revisions import find, in_use

    with store.reading() as tx:
        digits = list(wanted)
        if not digits:
            published = in_use(tx).get(name)
            if published is None or published.digest is None:
                raise _never_published(name)
            digits = [published.digest]
        found = [find(tx, name, one) for one in digits]
    sides = [(one.digest[:REVISION_DIGITS], one.files) for one in found]
    if len(sides) == 1:
        sides.append((DISK, _disk_files(settings, name, sides[0][1])))
    return sides[0], sides[1]


def _disk_files(settings: Settings, name: str, known: dict[str, str]) -> dict[str, str]:
    """The mapping's files as they are on disk; where they do not compile, those that the revision had."""
    from bridge.mapping.load import load_mappings

    folder = settings.mappings_path
    try:
        return load_mappings(folder, [name])[name].files
    except Misconfigured:
        paths = [path for path in known if (folder / path).is_file()]
        return {path: (folder / path).read_text("utf-8", "replace") for path in paths}


def _never_published(name: str) -> Permanent:
    return Permanent(
        "never_published", f"the mapping {name} is not published: `bridge mapping publish {name} --note WHY`"
    )

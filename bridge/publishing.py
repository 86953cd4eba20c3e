"""Putting mappings into use. What is in use is a fact in the store, the same for every process: here it is changed,
after everything was compiled, checked against the targets and tried on the mappings' own tests, and here it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from sqlalchemy import Connection

from bridge.alert import Json
from bridge.errors import Misconfigured, Permanent, Problem
from bridge.library import REVISION_DIGITS, Library, Published
from bridge.log.entries import Action, Entry, append
from bridge.mapping.compile import Mapping
from bridge.mapping.difference import difference, digest_of_lines
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.trial import TABLES, Trial, try_mapping
from bridge.settings import Reload, Settings
from bridge.settings.routes import route_problems
from bridge.store import removal, revisions
from bridge.store.engine import Store
from bridge.store.replay import quarantined, replay
from bridge.store.revisions import Author, KnownBy, Publication
from bridge.yamlfile import load_yaml

_log = logging.getLogger(__name__)

ON_DISK = Author(name="", known_by=KnownBy.NOBODY)
FOUND = "found changed on disk"  # the note of what no person published


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """What is published, compiled."""

    newest: int  # revisions.newest when it was read: another number means that there is news
    current: dict[str, Published]
    disk: dict[str, str]  # mapping -> digest that the disk held when it was published, where that is known
    kept: frozenset[str] = frozenset()  # removed elsewhere, and kept because a source of this process needs it


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who publishes, and why."""

    author: Author
    note: str
    actor: str  # "reload", "start", "cli:robin"
    what: str = "published"  # published | rolled_back; the log's outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One mapping of which something else is in use now. Digests; None: nothing."""

    mapping: str
    old: str | None
    new: str | None
    diff: str = ""  # digest of how the files differ, as `bridge mapping diff` prints it
    let_go: int = 0  # correlations that a removal let go


# --- the disk


def load(settings: Settings, today: date, names: Iterable[str] | None = None) -> dict[str, Mapping]:
    """The mappings on disk, compiled; those of the sources, or those named.

    Raises Misconfigured with every problem, routes to nowhere included.
    """
    wanted = used_by(settings) if names is None else names
    mappings = load_mappings(settings.mappings_path, wanted, today=today)
    if problems := route_problems(settings, mappings):
        raise Misconfigured(problems)
    return mappings


def on_disk(
    settings: Settings, store: Store, names: Iterable[str]
) -> tuple[dict[str, Mapping | None], dict[str, str | None]]:
    """(the named mappings as they are on disk, the digest in use of every published one). No names: those that sources
    use or that are published. None: it is published, but neither the disk nor a source has it any more.

    Raises Misconfigured as `load` does.
    """
    with store.reading() as tx:
        before = {name: row.digest for name, row in revisions.in_use(tx).items()}
    published = {name for name, digest in before.items() if digest is not None}
    wanted = set(names) or used_by(settings) | published
    gone = {
        name
        for name in wanted & published - used_by(settings)
        if not (settings.mappings_path / f"{name}.yaml").is_file()
    }
    found = load(settings, store.moment().date(), wanted - gone)
    return {**found, **dict.fromkeys(sorted(gone))}, before


def used_by(settings: Settings) -> set[str]:
    return {source.mapping for source in settings.sources.values()}


def refuse_failing(settings: Settings, mappings: Iterable[Mapping]) -> None:
    """Runs the mappings' own tests. Raises Misconfigured with everything that is not as they expect it."""
    tables = TABLES | {name: target.table for name, target in settings.targets.items()}
    tried = [trial for mapping in mappings for trial in try_mapping(mapping, settings.mappings_path, tables)]
    if problems := [problem for trial in tried for problem in _failures(trial)]:
        raise Misconfigured(problems)


def _failures(trial: Trial) -> list[Problem]:
    hint = f"`bridge mapping test {trial.mapping}` shows it whole"
    file, _, line = trial.place.rpartition(":")
    return [
        Problem(file, int(line), 0, f"the test `{trial.name}` fails at {finding.step}, {finding.key}", hint)
        for finding in trial.findings
    ]


# --- changing what is in use


def publish(settings: Settings, store: Store, *, actor: str) -> dict[str, Published]:
    """What is in use. Under `reload: auto` what changed on disk since the last publication is published first.

    Raises Misconfigured as `load`, `refuse_failing` and `in_use` do.
    """
    found: dict[str, Mapping] = {}
    if settings.reload is Reload.AUTO:
        found = load(settings, store.moment().date())
        with store.reading() as tx:
            before = revisions.in_use(tx)
        publish_found(settings, store, found, seen=_disk(before.values()), actor=actor)
    return in_use(settings, store, compiled=found).current


def publish_or_keep(settings: Settings, store: Store) -> dict[str, Published]:
    """At start: as `publish`. Where that is refused, and all that the sources need was published before, that serves.

    Raises Misconfigured where there is nothing to fall back on.
    """
    try:
        return publish(settings, store, actor="start")
    except Misconfigured as refused:
        try:
            kept = in_use(settings, store).current
        except Misconfigured:
            raise refused from None
        _log.warning("mappings refused, what was published before is served: %s", refused.message)
        return kept


def publish_found(
    settings: Settings, store: Store, mappings: MappingType[str, Mapping], *, seen: MappingType[str, str], actor: str
) -> None:
    """Put into use what the disk holds and did not hold when it was `seen`. Raises Misconfigured: a test fails."""
    new = {name: mapping for name, mapping in mappings.items() if mapping.digest != seen.get(name)}
    if not new:
        return
    with store.reading() as tx:
        before = revisions.in_use(tx)
    refuse_failing(settings, [one for one in new.values() if one.digest != _digest(before.get(one.name))])
    signed = Signed(author=ON_DISK, note=FOUND, actor=actor)
    put_into_use(store, new, disk={name: mapping.digest for name, mapping in new.items()}, signed=signed)


def put_into_use(
    store: Store,
    mappings: MappingType[str, Mapping | None],
    *,
    disk: MappingType[str, str | None],
    signed: Signed,
    release: bool = False,
) -> list[Change]:
    """All of them in one transaction; what is in use already is left as it is. None removes a mapping.

    `disk`: the digest that the disk holds of each; None where that is not known. Raises Permanent(still_kept) when one
    that is removed still keeps correlations in step, unless they are to be released.
    """
    with store.transaction() as tx:
        revisions.lock(tx)
        now, before = store.now(tx), revisions.in_use(tx)
        changes = []
        for name, mapping in mappings.items():
            last = before.get(name)
            if _digest(last) == (mapping.digest if mapping is not None else None):
                continue
            revision, let_go, on_disk = None, 0, None
            if mapping is not None:
                revision = revisions.register(tx, mapping=name, digest=mapping.digest, files=mapping.files, now=now)
                on_disk = disk.get(name) or (last.disk_digest if last is not None else None)
            else:
                let_go = _let_go(tx, name, release=release)
            revisions.publish(
                tx,
                mapping=name,
                revision_id=revision,
                author=signed.author,
                note=signed.note,
                disk_digest=on_disk,
                now=now,
            )
            new = mapping.digest if mapping is not None else None
            diff = _diff(tx, last, mapping)
            changes.append(Change(mapping=name, old=_digest(last), new=new, diff=diff, let_go=let_go))
        append(tx, *(_entry(change, signed, now) for change in changes))
    # Committed: this is what is in use. Every process takes it at its next look, those that start from now on at once.
    return changes


def _diff(tx: Connection, last: Publication | None, mapping: Mapping | None) -> str:
    old = revisions.load(tx, last.revision_id)[1] if last is not None and last.revision_id is not None else {}
    new = mapping.files if mapping is not None else {}
    labels = {"old_label": _shown(_digest(last)), "new_label": _shown(mapping.digest if mapping is not None else None)}
    return digest_of_lines(difference(old, new, **labels))


def _shown(digest: str | None) -> str:
    return (digest or "")[:REVISION_DIGITS]


def _let_go(tx: Connection, name: str, *, release: bool) -> int:
    count = removal.still_kept(tx, name)
    if count and not release:
        raise Permanent(
            "still_kept",
            f"the mapping {name} still keeps {count} correlations in step (`bridge incidents list`): end them first, "
            "or say --release, and their incidents stay as they are for people to end",
        )
    return removal.let_go(tx, name) if count else 0


def _entry(change: Change, signed: Signed, now: datetime) -> Entry:
    detail: dict[str, Json] = {
        "author": signed.author.name,
        "author_known_by": signed.author.known_by.value,
        "author_verified": signed.author.known_by.verified,
        "note": signed.note,
        "old_revision": _shown(change.old),
        "old_digest": change.old or "",
        "new_digest": change.new or "",
        "diff_digest": change.diff,
    }
    if change.let_go:
        detail["let_go"] = change.let_go
    return Entry(
        at=now,
        action=Action.PUBLISHED,
        actor=signed.actor,
        outcome=signed.what if change.new is not None else "removed",
        mapping=change.mapping,
        revision=_shown(change.new) or None,
        detail=detail,
    )


# --- what is in use


def in_use(
    settings: Settings,
    store: Store,
    *,
    known: MappingType[str, Published] = MappingProxyType({}),
    compiled: MappingType[str, Mapping] = MappingProxyType({}),
) -> InUse:
    """What is published. What is `known` or `compiled` already is not compiled again; of `known`, what was removed
    while a source of ours needs it is kept.

    Raises Misconfigured when a source's mapping is not published, does not compile any more, or routes to nowhere.
    """
    with store.reading() as tx:
        newest = revisions.newest(tx)
        rows = revisions.in_use(tx)
        ids = {name: row.revision_id for name, row in rows.items() if row.revision_id is not None}
        current = {name: known[name] for name, row_id in ids.items() if _is(known.get(name), row_id)}
        for name in (ids.keys() - current.keys()) & compiled.keys():
            if compiled[name].digest == _digest(rows[name]):
                current[name] = Published(mapping=compiled[name], revision_id=ids[name])
        stored = {name: revisions.load(tx, ids[name])[1] for name in sorted(ids.keys() - current.keys())}
    problems: list[Problem] = []
    for name, files in stored.items():
        try:
            current[name] = Published(mapping=compile_files(name, files), revision_id=ids[name])
        except Misconfigured as error:  # the language it was published in was another one
            problems += error.problems
    missing = used_by(settings) - ids.keys()
    kept = {name: known[name] for name in missing if name in known}
    current |= kept
    problems += _unpublished(settings, missing - kept.keys())
    problems += route_problems(settings, {name: published.mapping for name, published in current.items()})
    if problems:
        raise Misconfigured(problems)
    return InUse(newest=newest, current=current, disk=_disk(rows.values()), kept=frozenset(kept))


def _is(published: Published | None, revision_id: int) -> bool:
    return published is not None and published.revision_id == revision_id


def _unpublished(settings: Settings, names: set[str]) -> list[Problem]:
    file = load_yaml(settings.file) if names else None
    return [
        file.problem(
            ("sources", source.name, "mapping"),
            f"the mapping {source.mapping} was never published, or was removed",
            f"bridge mapping publish {source.mapping} --note WHY",
        )
        for source in settings.sources.values()
        if file is not None and source.mapping in names
    ]


def _digest(publication: Publication | None) -> str | None:
    return publication.digest if publication is not None else None


def _disk(rows: Iterable[Publication]) -> dict[str, str]:
    return {row.mapping: row.disk_digest for row in rows if row.disk_digest is not None}


def log_taken(tx: Connection, current: MappingType[str, Published], *, actor: str, now: datetime) -> None:
    """A process has taken these into use."""
    taken = {name: published.revision for name, published in sorted(current.items())}
    append(tx, Entry(at=now, action=Action.MAPPINGS_LOADED, actor=actor, detail={"revisions": taken}))


# --- what waited for it


def replay_quarantine(
    settings: Settings,
    store: Store,
    library: Library,
    mappings: Iterable[str],
    *,
    actor: str,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Map again what waits for these mappings; how many alerts left quarantine. `stopped` is asked before each page."""
    mapping_of = {source.name: source.mapping for source in settings.sources.values()}
    mapped = 0
    for source in [name for name, mapping in mapping_of.items() if mapping in set(mappings)]:
        after = (0, -1)
        while not stopped():
            with store.reading() as tx:
                page = quarantined(tx, source=source, after=after)
            if not page:
                break
            done = replay(store, page, library=library, mapping_of=mapping_of, actor=actor, stopped=stopped)
            mapped, after = mapped + done.mapped, page[-1]
    return mapped

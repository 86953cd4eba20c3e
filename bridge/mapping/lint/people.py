"""Lints of what should not leave its place: personal data, and names that only one instance knows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.correlation.policy import Kind
from bridge.mapping.language import Coalesce, Name, Path, Pipe, Text
from bridge.mapping.lint.subject import Finding, Subject
from bridge.mapping.lint.uses import Extracts, Tree, columns_of, field_uses, leaves, scalar
from bridge.mapping.written import written

_SYS_ID = re.compile(r"(?<![0-9a-fA-F])[0-9a-f]{32}(?![0-9a-fA-F])")
_URL = re.compile(r"https?://[^\s\"'{}<>]+")
_INSTANCE = re.compile(r"[a-z0-9-]+\.service-now\.com", re.IGNORECASE)
WRITTEN = ("id", "group", "field", "find", "observable")  # sections whose texts go to ServiceNow


def personal_in_id(subject: Subject) -> Iterator[Finding]:
    for use in subject.uses:
        if use.section == "id" and isinstance(use.tree, Text):
            for hole in use.tree.holes:
                if what := _personal(hole.expression, subject):
                    message = f"{what} is personal, and the ID carries it: it cannot be erased from there"
                    yield Finding(use.node, message, f"{{{{ {hole.source} | hash(16) }}}} tells people apart, unread")


def personal_to_itsm(subject: Subject) -> Iterator[Finding]:
    if "incident" not in subject.tables:
        return
    for kind in (Kind.CREATE, Kind.UPDATE, Kind.CLOSE, Kind.REOPEN):
        for column, node in columns_of(subject.root, kind.value, "incident").items():
            found = (what for use in field_uses(node) if (what := _personal(use.tree, subject)))
            if what := next(found, ""):
                message = f"{what} is personal, and `{column}` takes it to `incident`, which many can read"
                yield Finding(node, message, "leave it out there: `on: {sir: …}` holds what only SIR gets", at_key=True)


def _personal(tree: Tree, subject: Subject) -> str:
    """What of a tree is personal: an extract that says so, or a path that such an extract is made of. "": nothing."""
    names, extracts = subject.mapping.personal, subject.extracts
    trees = [extracts[name] for name in names if name in extracts]
    paths = {leaf for one in trees for leaf in leaves(one, extracts) if isinstance(leaf, Path)}
    for leaf in _readable(tree, extracts):
        if isinstance(leaf, Name) and leaf.name in names:
            return f"`{leaf.name}`"
        if isinstance(leaf, Path) and any(_overlap(leaf, path) for path in paths):
            return f"`{written(leaf)}`"
    return ""


def _readable(tree: Tree, extracts: Extracts) -> Iterator[Path | Name]:
    """The leaves of a tree, without what goes through `hash`."""
    if isinstance(tree, Pipe):
        if all(call.function != "hash" for call in tree.calls):
            yield from _readable(tree.source, extracts)
    elif isinstance(tree, Text | Coalesce):
        trees = [hole.expression for hole in tree.holes] if isinstance(tree, Text) else tree.alternatives
        for one in trees:
            yield from _readable(one, extracts)
    elif isinstance(tree, Path | Name):
        yield tree
        if isinstance(tree, Name) and tree.name in extracts:
            yield from _readable(extracts[tree.name], extracts)


def _overlap(one: Path, other: Path) -> bool:
    """Whether one of two paths leads into what the other holds."""
    length = min(len(one.steps), len(other.steps))
    return one.steps[:length] == other.steps[:length]


def not_portable(subject: Subject) -> Iterator[Finding]:
    """Of the texts that go to ServiceNow. Conditions may name such things: they are about the alert."""
    nodes = [use.node for use in subject.uses if use.section in WRITTEN]
    correlation = subject.root.get("correlation")
    display = correlation.get("display") if correlation is not None else None
    for node in [*nodes, *([display] if display is not None else [])]:
        if what := _bound_to(scalar(node.value) or "", subject.against.hosts):
            hint = "name groups and records; take links from the alert; `defaults` of a target are its instance's own"
            yield Finding(node, f"{what}: this mapping is for one instance only", hint)


def _bound_to(text: str, hosts: frozenset[str]) -> str:
    """What of a text only one instance knows; "" when nothing is."""
    for pattern, what in ((_SYS_ID, "a sys_id"), (_URL, "a URL"), (_INSTANCE, "an instance")):
        if found := pattern.search(text):
            return f"`{found[0]}` is {what}"
    lowered = text.lower().strip()
    for host in sorted(hosts):
        if host in lowered or host.removesuffix(".service-now.com") == lowered:
            return f"`{text.strip()}` names an instance of bridge.yaml"
    return ""

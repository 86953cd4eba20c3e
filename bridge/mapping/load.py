"""Mapping files from the disk, or from the stored text of a revision, to compiled mappings.

A mapping, what it includes and the look-up tables that it asks are one thing: they are compiled, hashed and stored
together. They lie inside the mappings folder; shared files include nothing themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from bridge.errors import Misconfigured, Problem
from bridge.mapping.compile import Mapping
from bridge.mapping.language import nearest
from bridge.mapping.lookups import LOOKUP_BYTES_MAX, Lookups, Table, parse_table
from bridge.mapping.model import NAME, Node, Report
from bridge.mapping.sections import compile_mapping
from bridge.mapping.watch import UNWATCHED, Watch
from bridge.yamlfile import YAML_BYTES_MAX, YamlFile, parse_yaml

INCLUDES_MAX = 20
FILES_REMEMBERED = 128  # of 100 KB each, for a file of 5 KB


def load_mappings(
    folder: Path, names: Iterable[str], *, today: date | None = None, watch: Watch = UNWATCHED
) -> dict[str, Mapping]:
    """The named mappings. Raises Misconfigured with every problem of every file; then none of them is to be used.

    With `today`, a suppression that would last for more than twelve months is refused.
    """
    files = _Folder(folder)
    problems: list[Problem] = []
    mappings = {}
    for name in sorted(set(names)):
        try:
            mappings[name] = _compile(name, files, today, watch)
        except Misconfigured as error:
            problems.extend(error.problems)
    if problems:
        raise Misconfigured(list(dict.fromkeys(problems)))  # a problem of a shared file once, not once per mapping
    return mappings


def compile_files(name: str, files: dict[str, str], *, watch: Watch = UNWATCHED) -> Mapping:
    """A mapping from the text of its files, as `Mapping.files` holds them."""
    return _compile(name, _Stored(files), None, watch)


class _Files(Protocol):
    """Where the files of mappings come from. Paths are below the mappings folder; a file that is not there is None."""

    def yaml(self, path: str) -> YamlFile | None: ...

    def table(self, path: str) -> Table | None: ...

    def missing(self, path: str) -> Problem: ...


class _Stored:
    """The files of one revision."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def yaml(self, path: str) -> YamlFile | None:
        return _parse(self._files[path].encode(), path) if path in self._files else None

    def table(self, path: str) -> Table | None:
        return parse_table(self._files[path].encode(), path) if path in self._files else None

    def missing(self, path: str) -> Problem:
        return Problem(path, 0, 0, "is not among the files of this revision")


class _Folder:
    """The mappings folder. What several mappings share is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._yaml: dict[str, YamlFile] = {}
        self._tables: dict[str, Table] = {}

    def yaml(self, path: str) -> YamlFile | None:
        if path not in self._yaml:
            raw = self._read(path, YAML_BYTES_MAX)
            if raw is None:
                return None
            self._yaml[path] = _parse(raw, str(self._folder / path))
        return self._yaml[path]

    def table(self, path: str) -> Table | None:
        if path not in self._tables:
            raw = self._read(path, LOOKUP_BYTES_MAX)
            if raw is None:
                return None
            self._tables[path] = parse_table(raw, str(self._folder / path))
        return self._tables[path]

    def missing(self, path: str) -> Problem:
        file = self._folder / path
        known = sorted(found.stem for found in self._folder.glob("*.yaml"))
        return Problem(str(file), 0, 0, "there is no such file", nearest(file.stem, known))

    def _read(self, path: str, most: int) -> bytes | None:
        """At most one byte more than `most`: enough to see that there are too many."""
        file = self._folder / path
        try:
            if not file.is_file():
                return None
            if not file.resolve().is_relative_to(self._folder.resolve()):
                raise Misconfigured([Problem(str(file), 0, 0, "leads out of the mappings folder")])
            with file.open("rb") as stream:
                return stream.read(most + 1)
        except OSError as error:
            raise Misconfigured([Problem(str(file), 0, 0, f"cannot be read: {error.strerror}")]) from error


@lru_cache(FILES_REMEMBERED)  # a reload reads all files, and few have changed
def _parse(raw: bytes, name: str) -> YamlFile:
    try:
        return parse_yaml(raw, name)
    except Misconfigured as error:
        raise Misconfigured([_with_corrected_line(problem, raw) for problem in error.problems]) from error


def _compile(name: str, files: _Files, today: date | None, watch: Watch) -> Mapping:
    if NAME.fullmatch(name) is None:
        raise Misconfigured([Problem(name, 0, 0, "is not a mapping's name", "lower-case letters, digits, - and _")])
    own = f"{name}.yaml"
    main = files.yaml(own)
    if main is None:
        raise Misconfigured([files.missing(own)])
    report = Report()
    root = Node(main, (), main.value)
    shared = _included(root, own, files, report)
    texts = {own: main.source, **{path: node.file.source for path, node in shared.items()}}
    merged = _merge(root, list(shared.values())) if isinstance(main.value, dict) else root
    lookups = Lookups(files.table, report.problems)
    mapping = compile_mapping(
        merged, name, yaml=main, files=texts, lookups=lookups, report=report, today=today, watch=watch
    )
    if mapping is None:
        raise Misconfigured(list(dict.fromkeys(report.problems)))
    return mapping


def _included(root: Node, own: str, files: _Files, report: Report) -> dict[str, Node]:
    """The shared files by their path. Problems inside them are reported with their own places."""
    include = root.get("include")
    shared: dict[str, Node] = {}
    nodes = include.elements() if include is not None else []
    if len(nodes) > INCLUDES_MAX:
        report.error(nodes[INCLUDES_MAX], f"more than {INCLUDES_MAX} files are included")
    for node in nodes[:INCLUDES_MAX]:
        path = report.text(node)
        if not path:
            continue
        if not _stays_inside(path):
            report.error(node, f"`{path}` is not a file inside the mappings folder", "_shared/routes.yaml")
        elif path == own:
            report.error(node, "a mapping does not include itself")
        elif (file := _shared(path, node, files, report)) is not None and file.value is not None:
            shared[path] = Node(file, (), file.value)
            if (further := shared[path].get("include")) is not None:
                hint = f"name it in {own}"
                report.error(further, "an included file includes nothing itself", hint, at_key=True)
            else:
                report.keys(shared[path], "shared")
    return shared


def _shared(path: str, node: Node, files: _Files, report: Report) -> YamlFile | None:
    try:
        file = files.yaml(path)
    except Misconfigured as error:
        report.problems.extend(error.problems)
        return None
    if file is None:
        report.error(node, f"there is no file `{path}` in the mappings folder")
    return file


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and path == str(pure)


_LISTS = ("suppress", "route", "personal")  # the mapping's own first: the first match wins
_MAPS = ("extract", "severity", "correlation", "observables", "outputs")  # key by key, the mapping's own wins
_TEXTS = ("setup", "notes", "not_mapped")  # of `product`: the mapping's own first


def _merge(root: Node, shared: list[Node]) -> Node:
    """The mapping with its includes: its own words win over theirs, earlier includes over later ones."""
    sections = dict(root.items())
    for other in shared:
        for key, theirs in other.items():
            mine = sections.get(key)
            if mine is None:
                sections[key] = theirs
            elif key in _LISTS:
                sections[key] = _concatenated(mine, theirs)
            elif key in _MAPS and isinstance(mine.value, dict) and isinstance(theirs.value, dict):
                sections[key] = _overlaid(mine, theirs, depth=1)
            elif key == "product" and isinstance(mine.value, dict) and isinstance(theirs.value, dict):
                sections[key] = _product(mine, theirs)
            elif key == "fields":
                sections[key] = _overlaid(mine, theirs, depth=4)
    return Node(root.file, (), {key: node.value for key, node in sections.items()}, sections)


def _overlaid(mine: Node, theirs: Node, *, depth: int) -> Node:
    """Theirs with mine laid over. Their keys come first, so that my extracts may use theirs."""
    if depth == 0 or not _is_section(mine) or not _is_section(theirs):
        return mine
    own = dict(mine.items())
    children = {key: node for key, node in theirs.items() if key not in own}
    children |= {
        key: _overlaid(node, other, depth=depth - 1) if (other := theirs.get(key)) else node
        for key, node in own.items()
    }
    return Node(mine.file, mine.path, {key: node.value for key, node in children.items()}, children)


def _product(mine: Node, theirs: Node) -> Node:
    """Key by key, mine wins; of what is a list of texts, mine come first."""
    merged = _overlaid(mine, theirs, depth=1)
    children = dict(merged.items())
    for key in _TEXTS:
        if (own := mine.get(key)) is not None and (other := theirs.get(key)) is not None:
            children[key] = _concatenated(own, other)
    return Node(mine.file, mine.path, {key: node.value for key, node in children.items()}, children)


def _is_section(node: Node) -> bool:
    """A map of names, not a value that happens to be written as a map."""
    return isinstance(node.value, dict) and not {"by", "find"} & node.value.keys()


def _concatenated(*nodes: Node) -> Node:
    elements = tuple(element for node in nodes for element in node.elements())
    return Node(nodes[0].file, nodes[0].path, [element.value for element in elements], listed=elements)


_LINE = re.compile(r"(\s*(?:- )?(?:\"[^\"]*\"|'[^']*'|[^\s:'\"][^:'\"]*):\s+)(\S.*?)\s*")
_IN_BRACES = re.compile(r"((?:[{,]\s*)[^\s:,{}]+:\s+)(\.[^,{}]*\[[^,{}]*)")
_CALL_IN_BRACES = re.compile(r"((?:[{,]\s*)[^\s:,{}]+:\s+)([.\w\"][^,{}()]*(?:\([^()]*\)[^,{}()]*)+)")


def _with_corrected_line(problem: Problem, raw: bytes) -> Problem:
    """For a file that is not YAML because an expression stands there without quotes: the line as it should be."""
    lines = raw.decode("utf-8", "replace").splitlines()
    for number in (problem.line, problem.line - 1):  # YAML may notice it only on the next line
        if not 1 <= number <= len(lines):
            continue
        for corrected in _corrections(lines[number - 1]):
            if _reads_further([*lines[: number - 1], corrected, *lines[number:]], number):
                hint = f"an expression like this stands in single quotes: {corrected.strip()}"
                return Problem(
                    problem.file, number, problem.column if number == problem.line else 0, problem.message, hint
                )
    return problem


def _corrections(line: str) -> list[str]:
    found = []
    whole = _LINE.fullmatch(line)
    if whole and whole[2][0] in '."[' and not whole[2].startswith("'"):
        found.append(f"{whole[1]}{_quoted(whole[2])}")
    for pattern in (_IN_BRACES, _CALL_IN_BRACES):
        in_braces = pattern.sub(lambda match: match[1] + _quoted(match[2].rstrip()), line)
        if in_braces != line:
            found.append(in_braces)
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _reads_further(lines: list[str], number: int) -> bool:
    """Whether YAML reads past this line of the corrected text."""
    try:
        parse_yaml("\n".join(lines).encode(), "")
    except Misconfigured as error:
        return all(problem.line > number + 1 for problem in error.problems)
    return True

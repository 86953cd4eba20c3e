"""The one way to lay out a mapping file: sections in their order, two blanks a level, comments where they belong. Pure.

Only white space and the order of sections change: names, quotes, comments and line breaks stay as they were written.
The text is laid out anew from the tokens of YAML and what stands between them; a round trip through objects would lose
line breaks inside `{ }` and would leave comments behind when a section moves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ruamel.yaml import YAML
from ruamel.yaml import tokens as t

from bridge.alert import Json
from bridge.errors import Misconfigured, Problem
from bridge.mapping.model import SECTIONS
from bridge.yamlfile import YamlFile, parse_yaml

STEP = 2  # blanks a level
COMMENT_GAP = 2  # blanks before a comment at the end of a line, at least
ALIGNED = "extract"  # the section that reads as a table: its values stand below one another
JOINED = frozenset({"version", "owner", "include", "each", "personal"})  # may follow without an empty line before them

_TAKEN, _LATER = (keys.split() for keys in SECTIONS["mapping"])
ORDER = [*(key for key in _TAKEN if key != "tests"), *_LATER, "tests"]

_OPENS = (t.FlowMappingStartToken, t.FlowSequenceStartToken)
_CLOSES = (t.FlowMappingEndToken, t.FlowSequenceEndToken)
_UNSEEN = (t.StreamStartToken, t.StreamEndToken, t.DocumentEndToken)
_EMPTY_END = re.compile(r"(\n[ \t]*)+\Z")


def formatted(file: YamlFile) -> str:
    """The text of a mapping or of a shared file in its one layout; what is laid out so comes back as it is.

    Raises Misconfigured for a key after `?`, and rather than give back a text that says something else.
    """
    if not isinstance(file.value, dict):
        return file.source
    lines = _arranged(_Layout(file).lines)
    _align_values(lines)
    _align_comments(lines)
    text = "\n".join(_written(lines)) + "\n"
    if _meaning(parse_yaml(text.encode(), file.name).value) != _meaning(file.value):
        raise Misconfigured([Problem(file.name, 0, 0, "cannot be laid out without a change of what it says")])
    return text


def _meaning(value: Json) -> dict[str, str]:
    """The sections in any order, and all below them in their own."""
    return {key: json.dumps(section) for key, section in value.items()}


@dataclass(slots=True)
class _Line:
    """A line to be written; without a text, a comment that has a line of its own."""

    indent: int
    text: str = ""  # a scalar of several lines brings its line feeds
    comment: str = ""
    comment_column: int = 0  # where the comment stood
    blank_before: bool = False
    section: str = ""  # that begins here
    keeps: bool = False  # an empty line after it would be a part of its text
    key_end: int = 0  # of a line of ALIGNED: where the colon ends


@dataclass(slots=True)
class _Level:
    """A block map or list that is open: where its keys or dashes stood, and where they stand now."""

    is_list: bool
    old: int
    new: int
    implied: bool = False  # a list whose dashes stand below its key: YAML has no token for its start and end


class _Layout:
    """Reads tokens from left to right and makes lines of them."""

    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self.source = file.source.replace("\r\n", "\n")
        self.lines: list[_Line] = []
        self.levels: list[_Level] = []
        self.levels_before: list[_Level] = []  # at the last token that was written
        self.brackets: list[int] = []  # of the open ones, each the number of its line
        self.bracket_base = 0  # the column that lines inside them are counted from
        self.end = 0  # of the last token that was written
        self.last: t.Token | None = None
        self.at_key = False
        self.section = ""
        for token in YAML(typ="safe", pure=True).scan(self.source):
            self._take(token)
        self._gap(self.source[self.end :], None, 0)

    def _take(self, token: t.Token) -> None:
        if isinstance(token, (t.BlockMappingStartToken, t.BlockSequenceStartToken)):
            self._open(token, is_list=isinstance(token, t.BlockSequenceStartToken))
        elif isinstance(token, t.BlockEndToken):
            self._close_implied()
            self.levels.pop()
        elif isinstance(token, t.KeyToken):
            self._key(token)
        elif not isinstance(token, _UNSEEN):
            if isinstance(token, t.BlockEntryToken) and not self.levels[-1].is_list:
                self._open(token, is_list=True, implied=True)
            self._place(token)

    def _open(self, token: t.Token, *, is_list: bool, implied: bool = False) -> None:
        new = self.levels[-1].new + STEP if self.levels else 0
        self.levels.append(_Level(is_list, token.start_mark.column, new, implied))

    def _close_implied(self) -> None:
        if self.levels[-1].implied:
            self.levels.pop()

    def _key(self, token: t.Token) -> None:
        if token.start_mark.index < token.end_mark.index:
            mark = token.start_mark
            problem = Problem(self.file.name, mark.line + 1, mark.column + 1, "a key after `?` is not laid out")
            raise Misconfigured([problem])
        if not self.brackets:
            self._close_implied()
        self.at_key = True

    def _place(self, token: t.Token) -> None:
        """Writes a token: behind the last one, or on a line of its own where it had one."""
        if isinstance(token, _CLOSES):
            self.brackets.pop()
        gap = self.source[self.end : token.start_mark.index]
        if "\n" in gap or not self.lines:
            self._gap(gap, token, self._indent(token))
        else:
            self.lines[-1].text += self._between(token)
        line = self.lines[-1]
        if self.at_key and not self.brackets and len(self.levels) == 1 and isinstance(token, t.ScalarToken):
            line.section = self.section = str(token.value)
        self.end = token.end_mark.index
        line.text += self._scalar(token) if isinstance(token, t.ScalarToken) else self._source(token)
        if isinstance(token, t.ValueToken) and len(self.levels) == 2 and not self.brackets and self.section == ALIGNED:
            line.key_end = len(line.text)
        if isinstance(token, _OPENS):
            if not self.brackets:
                level = self.levels[-1] if self.levels else _Level(is_list=False, old=0, new=0)
                self.bracket_base = max(line.indent, level.new + STEP * level.is_list)
            self.brackets.append(len(self.lines))
        self.last, self.at_key, self.levels_before = token, False, list(self.levels)

    def _source(self, token: t.Token) -> str:
        return self.source[token.start_mark.index : token.end_mark.index]

    def _between(self, token: t.Token) -> str:
        if isinstance(self.last, _OPENS) or isinstance(token, t.ValueToken):
            return ""
        closes = isinstance(token, (t.FlowEntryToken, *_CLOSES))
        return "" if closes and not isinstance(self.last, t.ValueToken) else " "

    def _indent(self, token: t.Token) -> int:
        """Of a line that begins with this token."""
        if self.brackets or isinstance(token, _CLOSES):
            return self.bracket_base + STEP * len(set(self.brackets))
        if not self.levels:
            return 0
        stands = self.at_key or isinstance(token, t.BlockEntryToken)
        return self.levels[-1].new + (0 if stands else STEP)

    def _scalar(self, token: t.ScalarToken) -> str:
        """A scalar with its further lines moved below its key."""
        text = self._source(token)
        if "\n" not in text:
            return text
        inside = (self.bracket_base + STEP * len(set(self.brackets))) if self.brackets else self.levels[-1].new
        if token.style in ("|", ">"):
            return self._block(text, inside + STEP)
        first, *others = text.split("\n")
        return "\n".join(
            [first, *(" " * (inside + STEP) + line.lstrip(" \t") if line.strip() else "" for line in others)]
        )

    def _block(self, text: str, indent: int) -> str:
        """A `|` or `>` text. The empty lines behind it are no part of it, unless it says so (`|+`)."""
        head = text.partition("\n")[0].partition("#")[0]
        self.lines[-1].keeps = "+" in head
        kept = text[: text.rindex("\n")] if "+" in head else _EMPTY_END.sub("", text)
        self.end -= len(text) - len(kept)
        first, *content = kept.split("\n")
        if digits := re.search(r"[1-9]", head):  # says how deep it stands: it keeps its distance to the key
            indent = indent - STEP + int(digits[0])
            old = self.levels[-1].old + int(digits[0])
        else:
            old = next((len(line) - len(line.lstrip(" ")) for line in content if line.strip(" ")), 0)
        return "\n".join([first.rstrip(), *(" " * indent + line[old:] if line[old:] else "" for line in content)])

    def _gap(self, gap: str, token: t.Token | None, indent: int) -> None:
        """What stands between the last token and the one that begins a line: comments, and empty lines."""
        segments = gap.split("\n")
        if self.lines:
            self._comment_behind(segments.pop(0))
        elif token is not None:
            segments[-1:] = [""]
        blank = False
        for segment in segments if token is None else segments[:-1]:
            comment = segment.strip()
            if comment:
                column = len(segment) - len(segment.lstrip())
                self.lines.append(_Line(self._comment_indent(column, token, indent), "", comment, blank_before=blank))
            blank = not comment
        if token is not None:
            self.lines.append(_Line(indent, blank_before=blank))

    def _comment_behind(self, segment: str) -> None:
        if comment := segment.strip():
            at = self.end + segment.index("#")
            self.lines[-1].comment = comment
            self.lines[-1].comment_column = at - (self.source.rfind("\n", 0, at) + 1)

    def _comment_indent(self, column: int, token: t.Token | None, indent: int) -> int:
        """A comment goes with the line below it, or with the open level that it stood in."""
        if isinstance(token, _CLOSES):
            return indent + STEP
        if self.brackets or (token is not None and token.start_mark.column == column):
            return indent
        return next((level.new for level in reversed(self.levels_before) if level.old == column), indent)


def _arranged(lines: list[_Line]) -> list[_Line]:
    """The sections in their order, each with the comments above it; the file's head and foot stay."""
    starts = [_above(lines, number) for number, line in enumerate(lines) if line.section]
    if not starts:
        return lines
    foot = _above(lines, len(lines))
    starts[0] = _head_end(lines, starts[0], next(number for number, line in enumerate(lines) if line.section))
    below_head = starts[0] > 0 and lines[starts[0]].blank_before
    blocks = [lines[start:end] for start, end in pairwise([*starts, foot])]
    blocks.sort(key=lambda block: _place_of(_section(block)))  # stable: what is unknown stays behind, as it stood
    for block in blocks:
        block[0].blank_before = block[0].blank_before or _section(block) not in JOINED
    blocks[0][0].blank_before = below_head
    return [*lines[: starts[0]], *(line for block in blocks for line in block), *lines[foot:]]


def _above(lines: list[_Line], number: int) -> int:
    """Where the comments begin that stand above a line, at the margin."""
    while number > 0 and not lines[number - 1].text and lines[number - 1].indent == 0:
        number -= 1
    return number


def _head_end(lines: list[_Line], start: int, first: int) -> int:
    """The first section's own comments begin below the last empty line; without one all of them are the file's."""
    return max((number for number in range(start, first + 1) if lines[number].blank_before), default=first)


def _section(block: list[_Line]) -> str:
    return next(line.section for line in block if line.section)


def _place_of(section: str) -> int:
    return ORDER.index(section) if section in ORDER else len(ORDER)


def _align_values(lines: list[_Line]) -> None:
    for run in _runs(lines, lambda line: line.key_end > 0 and "\n" not in line.text and len(line.text) > line.key_end):
        width = max(line.key_end for line in run) + 1
        for line in run:
            line.text = line.text[: line.key_end].ljust(width) + line.text[line.key_end :].lstrip()


def _align_comments(lines: list[_Line]) -> None:
    """A comment stays in its column if the text allows it; those that stood below one another move together."""
    for run in _runs(lines, lambda line: line.comment_column if line.text and line.comment else 0):
        column = max(run[0].comment_column, *(_width(line) + COMMENT_GAP for line in run))
        for line in run:
            line.comment_column = column


def _runs(lines: list[_Line], kind: Callable[[_Line], int]) -> Iterator[list[_Line]]:
    """Lines of one kind (other than 0) that follow one another without an empty line."""
    run: list[_Line] = []
    for line in lines:
        if run and (line.blank_before or kind(line) != kind(run[0])):
            yield run
            run = []
        if kind(line):
            run.append(line)
    if run:
        yield run


def _width(line: _Line) -> int:
    """Of the text's last line."""
    _, feed, last = line.text.rpartition("\n")
    return len(last) if feed else line.indent + len(line.text)


def _written(lines: list[_Line]) -> Iterator[str]:
    above = _Line(0)
    for line in lines:
        if line.blank_before and not above.keeps:
            yield ""
        above = line
        text = " " * line.indent + line.text
        if line.text and line.comment:
            text += " " * (line.comment_column - _width(line))
        yield text + line.comment

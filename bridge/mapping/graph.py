"""The routes of a mapping drawn as an SVG: what is asked in order, and where a yes leads. Pure."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.mapping.values import clean

LINE_CHARS_MAX = 56  # of a box; longer text is wrapped
TARGET_CHARS_MAX = 30
CHAR_WIDTH, LINE_HEIGHT, PADDING = 7.3, 17, 12  # pixels, at the font size of the style below
MARGIN, GAP, ARROW = 16, 30, 70  # around the whole, between boxes, from a box to its target

ASKED_WIDTH = round(LINE_CHARS_MAX * CHAR_WIDTH) + 2 * PADDING
TARGET_WIDTH = round(TARGET_CHARS_MAX * CHAR_WIDTH) + 2 * PADDING
WIDTH = MARGIN + ASKED_WIDTH + ARROW + TARGET_WIDTH + MARGIN

# Colours that read on their own white ground, whatever page the picture stands in.
STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}"
    "rect{stroke:#59636e;fill:#f6f8fa}.to{fill:#ddf4ff}.drop{fill:#ffebe9}"
    "path{stroke:#59636e;fill:none;marker-end:url(#tip)}.ground{fill:#fff;stroke:none}"
)
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<polygon points="0,0 8,4 0,8" fill="#59636e"/></marker>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One route: what is asked, and where it leads."""

    when: str  # "": always
    to: str  # a target, or drop
    group: str  # "": the target's own rules assign


def draw(title: str, branches: Sequence[Branch]) -> str:
    """A whole SVG document, without blank lines, so that it can stand in Markdown."""
    parts: list[str] = []
    y = _box(parts, MARGIN, MARGIN, ["an alert"], "", TARGET_WIDTH)
    for number, branch in enumerate(branches):
        _down(parts, y, "no" if number else "")
        y = _branch(parts, y + GAP, branch)
        if not branch.when:
            break  # what stands behind it is never asked
    else:
        _down(parts, y, "no")
        y = _box(parts, MARGIN, y + GAP, ["drop: no route holds"], "drop", TARGET_WIDTH)
    height = y + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    name = _text(title)
    return "\n".join(
        [
            f'{head} role="img" aria-label="{name}">',
            f"<title>{name}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{TIP}</defs>",
            f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
            *parts,
            "</svg>",
        ]
    )


def _branch(parts: list[str], top: int, branch: Branch) -> int:
    """The box of what is asked and the one where it leads, side by side; the lower edge of both."""
    asked = _wrapped(branch.when or "everything else", LINE_CHARS_MAX)
    leads = _wrapped(branch.to, TARGET_CHARS_MAX) + (_wrapped(branch.group, TARGET_CHARS_MAX) if branch.group else [])
    left, right = _height(asked), _height(leads)
    tall = max(left, right)
    _box(parts, MARGIN, top, asked, "", ASKED_WIDTH, tall)
    _box(parts, MARGIN + ASKED_WIDTH + ARROW, top, leads, "drop" if branch.to == "drop" else "to", TARGET_WIDTH, tall)
    middle, start = top + tall // 2, MARGIN + ASKED_WIDTH
    parts.append(f'<path d="M{start} {middle}h{ARROW - 1}"/>')
    parts.append(f'<text x="{start + 22}" y="{middle - 6}">{"yes" if branch.when else ""}</text>')
    return top + tall


def _down(parts: list[str], y: int, word: str) -> None:
    x = MARGIN + 40
    parts.append(f'<path d="M{x} {y}v{GAP - 1}"/>')
    if word:
        parts.append(f'<text x="{x + 8}" y="{y + 19}">{word}</text>')


def _box(parts: list[str], x: int, y: int, lines: list[str], kind: str, width: int, height: int = 0) -> int:
    height = height or _height(lines)
    kind = f' class="{kind}"' if kind else ""
    parts.append(f'<rect{kind} x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
    first = y + (height - len(lines) * LINE_HEIGHT) // 2 + 13
    for number, line in enumerate(lines):
        parts.append(f'<text x="{x + PADDING}" y="{first + number * LINE_HEIGHT}">{_text(line)}</text>')
    return y + height


def _height(lines: list[str]) -> int:
    return len(lines) * LINE_HEIGHT + 2 * PADDING - 6


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(clean(text), width, break_on_hyphens=False) or [""]


def _text(text: str) -> str:
    return html.escape(" ".join(clean(text).split()))

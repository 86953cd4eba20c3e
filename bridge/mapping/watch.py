"""Who may look on while a mapping works: in service nobody. Pure.

The compiler hands every closure to a Watch as it makes it and uses what it gets back. This one gives back the very
closure, so that being explainable costs an alert nothing; `recording.Recorder` gives back one that notes what it gave.
Both run the same closures: an explanation cannot disagree with what the service does.
"""

from __future__ import annotations

from typing import TypeVar

from bridge.mapping.language import Expression
from bridge.mapping.model import Node

T = TypeVar("T")


class Watch:
    """Sees nothing."""

    __slots__ = ()

    def whole(self, root: Node) -> None:
        """The mapping with its includes merged in, before any of its parts."""

    def expression(self, tree: Expression, getter: T) -> T:  # noqa: ARG002
        """A part of an expression; the next `part` says where it stands."""
        return getter

    def part(self, kind: str, node: Node | None, closure: T) -> T:  # noqa: ARG002
        """What was compiled from `node`. Kinds: recording.Part."""
        return closure

    def table(self, node: Node | None, table: T) -> T:  # noqa: ARG002
        """The rows, by their values, in which one is looked up."""
        return table

    def row(self, node: Node, row: T) -> T:  # noqa: ARG002
        """What says of a value whether it `holds`: a range, a window."""
        return row


UNWATCHED = Watch()

"""What every section of a mapping compiles its values with: names, stages, and problems with their places. Pure.

Where what stands: a value with `{{ }}` is a text with holes; without, the caller says whether it is an expression
(`expression`) or plain text (`text`).
"""

from __future__ import annotations

from bridge.mapping.evaluate import (
    BEFORE_SEVERITY,
    FACTS,
    Getter,
    Names,
    compile_expression,
    compile_text,
    compile_times,
    memoised,
)
from bridge.mapping.language import Expression, LanguageError, Text, names_in, parse_expression, parse_text
from bridge.mapping.lookups import Lookups
from bridge.mapping.model import EXTRACT_DEPTH_MAX, EXTRACT_NAME, EXTRACTS_MAX, Node, Report
from bridge.mapping.watch import UNWATCHED, Watch


def _nothing(_: object) -> None:
    return None


class Compiler:
    """Compiles the values of one mapping. On a problem it reports, and goes on with a closure that yields nothing."""

    def __init__(self, report: Report, lookups: Lookups, watch: Watch = UNWATCHED) -> None:
        self.report = report
        self.watch = watch
        self.names = Names(lookups, watch)
        self.trees: dict[str, Expression | Text] = {}  # of the extracts
        self.slots = 0  # for values that are worked out once per alert
        self._depths: dict[str, int] = {}

    def expression(self, node: Node, known: frozenset[str], *, times: bool = False) -> tuple[Getter, set[str]]:
        """A value that is an expression where it has no holes, and the names it mentions."""
        tree = self.tree(node)
        return self.compiled(tree, node, known, times=times), names_in(tree)

    def compiled(self, tree: Expression | Text, node: Node, known: frozenset[str], *, times: bool = False) -> Getter:
        """The closure of what `tree` read from this node."""
        try:
            if isinstance(tree, Text):
                getter = compile_text(tree, self.names, known, nothing_if_empty=True)
            else:
                getter = (compile_times if times else compile_expression)(tree, self.names, known)
            return self.watch.part("value", node, getter)
        except LanguageError as error:
            self.report.error(node, error.message, error.hint)
            return _nothing

    def tree(self, node: Node) -> Expression | Text:
        """A value as `expression` reads it; an empty text after a problem."""
        source = node.value
        if not isinstance(source, str) or not source.strip():
            self.report.error(node, "an expression is expected here", 'a path (.a.b), a name, or a literal: "text"')
            return Text(())
        try:
            return parse_text(source) if "{{" in source else parse_expression(source)
        except LanguageError as error:
            self.report.error(node, error.message, error.hint)
            return Text(())

    def text(self, node: Node, known: frozenset[str], *, empty: bool = False) -> tuple[Getter, set[str]]:
        """A value that is text, with holes or without, and the names it mentions."""
        tree = self.text_tree(node, empty=empty)
        try:
            text = compile_text(tree, self.names, known, nothing_if_empty=len(tree.parts) == 1)
            return self.watch.part("value", node, text), names_in(tree)
        except LanguageError as error:
            self.report.error(node, error.message, error.hint)
            return _nothing, set()

    def text_tree(self, node: Node, *, empty: bool = False) -> Text:
        source = self.report.text(node, empty=empty)
        try:
            return parse_text(source)
        except LanguageError as error:
            self.report.error(node, error.message, error.hint)
            return Text(())

    def constant(self, node: Node) -> str | None:
        """The text of a value without holes; None for one that has some, or that was refused."""
        if isinstance(node.value, (dict, list)) or node.value is None:
            return None
        text = Report().text(node, empty=True)
        return None if "{{" in text else text

    def literal_text(self, source: str) -> Getter:
        """A text of ours, of facts alone."""
        return compile_text(parse_text(source), Names(self.names.lookups), frozenset(FACTS))

    def extracts(self, node: Node) -> None:
        """Compiles `extract:` in order: a line may use the lines before it."""
        if not isinstance(node.value, dict):
            self.report.error(node, "a map of name: expression is expected here")
        lines = list(node.items())
        if len(lines) > EXTRACTS_MAX:
            self.report.error(node, f"has {len(lines)} extracts; at most {EXTRACTS_MAX} are taken")
        for name, line in lines:
            if EXTRACT_NAME.fullmatch(name) is None:
                self.report.error(line, f"`{name}` is not a name", "letters, digits and _", at_key=True)
                continue
            if name in FACTS:
                self.report.error(line, f"`{name}` is a name of the language", "choose another", at_key=True)
                continue
            tree = self.trees[name] = self.tree(line)
            getter = self.compiled(tree, line, BEFORE_SEVERITY)
            self._depths[name] = 1 + max((self._depths.get(other, 0) for other in names_in(tree)), default=0)
            if self._depths[name] > EXTRACT_DEPTH_MAX:
                self.report.error(line, f"more than {EXTRACT_DEPTH_MAX} extracts build on one another here")
            self.names.extracts[name] = self.watch.part("extract", line, self.once(getter))

    def once(self, getter: Getter) -> Getter:
        """A getter that is worked out once per alert."""
        self.slots += 1
        return memoised(self.slots - 1, getter)

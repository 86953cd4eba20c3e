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
from bridge.mapping.language import LanguageError, Text, names_in, parse_expression, parse_text
from bridge.mapping.model import EXTRACT_DEPTH_MAX, EXTRACT_NAME, EXTRACTS_MAX, Node, Report


def _nothing(_: object) -> None:
    return None


class Compiler:
    """Compiles the values of one mapping. On a problem it reports, and goes on with a closure that yields nothing."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.names = Names()
        self._depths: dict[str, int] = {}

    def expression(self, node: Node, known: frozenset[str], *, times: bool = False) -> tuple[Getter, set[str]]:
        """A value that is an expression where it has no holes, and the names it mentions."""
        source = node.value
        if not isinstance(source, str) or not source.strip():
            self.report.error(node, "an expression is expected here", 'a path (.a.b), a name, or a literal: "text"')
            return _nothing, set()
        try:
            if "{{" in source:
                tree = parse_text(source)
                return compile_text(tree, self.names, known, nothing_if_empty=True), names_in(tree)
            expression = parse_expression(source)
            compiled = (compile_times if times else compile_expression)(expression, self.names, known)
            return compiled, names_in(expression)
        except LanguageError as error:
            self.report.error(node, error.message, error.hint)
            return _nothing, set()

    def text(self, node: Node, known: frozenset[str], *, empty: bool = False) -> tuple[Getter, set[str]]:
        """A value that is text, with holes or without, and the names it mentions."""
        tree = self.text_tree(node, empty=empty)
        try:
            return compile_text(tree, self.names, known, nothing_if_empty=len(tree.parts) == 1), names_in(tree)
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
        """A text of ours."""
        return compile_text(parse_text(source), self.names, frozenset(FACTS))

    def extracts(self, node: Node) -> None:
        """Compiles `extract:` in order: a line may use the lines before it."""
        if not isinstance(node.value, dict):
            self.report.error(node, "a map of name: expression is expected here")
        lines = list(node.items())
        if len(lines) > EXTRACTS_MAX:
            self.report.error(node, f"has {len(lines)} extracts; at most {EXTRACTS_MAX} are taken")
        for index, (name, line) in enumerate(lines):
            if EXTRACT_NAME.fullmatch(name) is None:
                if not self.report.cut_by_yaml(node, name, line):
                    self.report.error(line, f"`{name}` is not a name", "letters, digits and _", at_key=True)
                continue
            if name in FACTS:
                self.report.error(line, f"`{name}` is a name of the language", "choose another", at_key=True)
                continue
            if index + 1 < len(lines) and self.report.is_cut_tail(*lines[index + 1]):
                self.names.extracts[name] = _nothing  # told at the tail, with the whole line
                continue
            getter, used = self.expression(line, BEFORE_SEVERITY)
            self._depths[name] = 1 + max((self._depths.get(other, 0) for other in used), default=0)
            if self._depths[name] > EXTRACT_DEPTH_MAX:
                self.report.error(line, f"more than {EXTRACT_DEPTH_MAX} extracts build on one another here")
            self.names.extracts[name] = memoised(index, getter)

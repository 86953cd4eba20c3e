"""Which tables a mapping looks records up in: whoever writes for it must be able to read them. Pure."""

from __future__ import annotations

from bridge.mapping.model import Node


def tables_found(tree: Node) -> frozenset[str]:
    """That its fields and outputs name under `find`; the groups of its routes are not among them."""
    sections = (tree.get(name) for name in ("fields", "outputs"))
    return frozenset(table for section in sections if section is not None for table in _below(section))


def _below(node: Node) -> list[str]:
    if not isinstance(node.value, dict):
        return []
    found = node.value.get("find")
    here = [found] if isinstance(found, str) and "by" in node.value else []
    return here + [table for _, child in node.items() for table in _below(child)]

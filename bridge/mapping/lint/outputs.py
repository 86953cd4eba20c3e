"""Lints of what is sent beside an incident: enrichment that no instance of a route can take. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.mapping.lint.subject import Finding, Subject
from bridge.mapping.model import ENRICHMENTS


def enrichment_without_path(subject: Subject) -> Iterator[Finding]:
    outputs = subject.root.get("outputs")
    for _, output in outputs.items() if outputs is not None else ():
        for kind in ENRICHMENTS:
            node = output.get(kind)
            lacking = sorted(name for name in subject.mapping.targets if (name, kind) in subject.against.pathless)
            if node is not None and lacking:
                message = f"the instance of {', '.join(lacking)} has no path for `{kind}`: this is given up there"
                hint = "`enrichment_path` of the instance; ServiceNow publishes none, its administrator knows it"
                yield Finding(node, message, hint, at_key=True)

"""All lints, in one table: an ID and a name for good, what it says, and the function that finds it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bridge.alert import Json
from bridge.errors import Problem
from bridge.mapping.compile import Mapping as CompiledMapping
from bridge.mapping.lint import alerts, columns, identity, lifecycle, outputs, people, routes
from bridge.mapping.lint.subject import Against, Finding, Subject, takes
from bridge.mapping.trial import samples_named


@dataclass(frozen=True, slots=True)
class Lint:
    name: str
    says: str  # one sentence; docs/lints.md says more, under the ID
    find: Callable[[Subject], Iterable[Finding]]


LINTS = {
    "IB101": Lint("route-never-reached", "A route that no alert gets to.", routes.never_reached),
    "IB102": Lint("no-catch-all-route", "Alerts that no route takes are dropped.", routes.no_catch_all),
    "IB103": Lint(
        "route-depends-on-severity",
        "The severity decides where an incident goes, and may rise later.",
        routes.depends_on_severity,
    ),
    "IB104": Lint("route-without-test", "A route that no test takes.", routes.without_test),
    "IB105": Lint(
        "return-only-reopens",
        "A target where each return is the same record to ServiceNow.",
        routes.returns_only_reopen,
    ),
    "IB201": Lint("no-way-to-close", "Nothing closes the incidents of this mapping.", lifecycle.no_way_to_close),
    "IB202": Lint("no-time", "The source's time is not read.", lifecycle.no_time),
    "IB203": Lint("suppression-is-over", "A suppression that has ended.", lifecycle.suppression_is_over),
    "IB204": Lint("suppression-ends-soon", "A suppression that ends within 14 days.", lifecycle.suppression_ends_soon),
    "IB205": Lint(
        "severity-not-in-table", "A sample has a severity that the table has not.", alerts.severity_not_in_table
    ),
    "IB301": Lint("id-part-may-be-empty", "A part of the ID, or a join value, may be empty.", identity.may_be_empty),
    "IB302": Lint(
        "id-part-falls-back", "A part of the ID, or a join value, falls back to a literal.", identity.falls_back
    ),
    "IB303": Lint(
        "id-part-carries-time", "A part of the ID, or a join value, looks like a time.", identity.carries_time
    ),
    "IB304": Lint(
        "id-differs-by-case", "Two alerts have IDs that differ in nothing but case.", identity.differs_by_case
    ),
    "IB401": Lint("path-in-no-sample", "A path that no alert of the tests has.", alerts.path_in_no_sample),
    "IB402": Lint("extract-never-used", "An extract that nothing uses.", alerts.extract_never_used),
    "IB403": Lint(
        "takes-foreign-alerts", "`match` also holds for another mapping's samples.", alerts.takes_foreign_alerts
    ),
    "IB404": Lint(
        "text-reads-like-an-expression", "A field's text looks like a path or a pipe.", columns.reads_like_an_expression
    ),
    "IB501": Lint("unknown-column", "A column that the table has not.", columns.unknown_column),
    "IB502": Lint("text-exceeds-column", "A text that may be longer than its column.", columns.exceeds_column),
    "IB503": Lint("unknown-choice", "A value that is not among the column's choices.", columns.unknown_choice),
    "IB504": Lint("unknown-group", "A group that the instance has not.", columns.unknown_group),
    "IB505": Lint("priority-is-computed", "`priority` is written to `incident`.", columns.priority_is_computed),
    "IB506": Lint("comments-mail-the-caller", "`comments` are written.", columns.comments_mail_the_caller),
    "IB507": Lint("read-only-column", "A column that the instance keeps read-only.", columns.read_only_column),
    "IB508": Lint(
        "mandatory-column-left-empty",
        "A column that the instance makes mandatory, and no create fills.",
        columns.mandatory_column_is_left_empty,
    ),
    "IB509": Lint(
        "enrichment-without-path",
        "Enrichment for an instance whose path is not configured.",
        outputs.enrichment_without_path,
    ),
    "IB601": Lint("personal-data-in-id", "A part of the ID is personal data.", people.personal_in_id),
    "IB602": Lint("personal-data-to-itsm", "Personal data goes to the `incident` table.", people.personal_to_itsm),
    "IB603": Lint("not-portable", "A sys_id, a URL or an instance stands in the mapping.", people.not_portable),
}


def lint(
    mappings: Mapping[str, CompiledMapping], samples: Mapping[str, Json], against: Against
) -> list[tuple[Problem, str]]:
    """What the lints say of these mappings, each with its lint's ID, in file order.

    `samples` are the documents that their tests name, by their paths below the mappings folder; those that are not
    there, or are not JSON, are the test runner's to tell.
    """
    named = {
        name: {path: samples[path] for path in sorted(samples_named(mapping)) if path in samples}
        for name, mapping in mappings.items()
    }
    found = set()
    for name, mapping in mappings.items():
        foreign = {
            path: document
            for other, theirs in named.items()
            for path, document in theirs.items()
            if other != name and path not in named[name] and takes(mappings[other], document)
        }
        subject = Subject(mapping, against, named[name], foreign)
        for ident, one in LINTS.items():
            found |= {(finding.problem, ident) for finding in one.find(subject) if not _is_explained(finding, ident)}
    return sorted(found)


def _is_explained(finding: Finding, ident: str) -> bool:
    """Whether a comment says why it is meant: `# IB103: why`, on the line itself or on lines of comment above it."""
    lines = finding.node.file.source.splitlines()
    at = finding.problem.line - 1
    if not 0 <= at < len(lines):
        return False
    near = [lines[at]]
    while at > 0 and lines[at - 1].lstrip().startswith("#"):
        at -= 1
        near.append(lines[at])
    return any(re.search(rf"#.*\b{ident}: *\S", line) for line in near)

"""`bridge mapping`: what people do with mapping files before they are used."""

from __future__ import annotations

import click

from bridge.cli.mapping_coverage import coverage
from bridge.cli.mapping_docs import docs
from bridge.cli.mapping_explain import explain
from bridge.cli.mapping_fmt import fmt
from bridge.cli.mapping_new import new
from bridge.cli.mapping_plan import plan_command
from bridge.cli.mapping_publish import publish_command, rollback_command
from bridge.cli.mapping_revisions import diff_command, revisions_command
from bridge.cli.mapping_schema import schema
from bridge.cli.mapping_test import test
from bridge.cli.options import example


@click.group(epilog=example("bridge mapping test", "bridge mapping fmt --check"))
def mapping() -> None:
    """Work with mapping files."""


for command in (
    new,
    fmt,
    schema,
    test,
    explain,
    coverage,
    docs,
    plan_command,
    publish_command,
    revisions_command,
    diff_command,
    rollback_command,
):
    mapping.add_command(command)

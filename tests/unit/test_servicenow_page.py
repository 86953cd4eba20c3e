"""What the two pages on ServiceNow say of instances is taken, and the codes that are explained exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.servicenow import breaker, outcome
from bridge.settings import AuthScheme, Settings, Transport, load_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "servicenow-access.md"
BOTH = "".join((DOCS / name).read_text("utf-8") for name in ("servicenow-setup.md", "servicenow-access.md"))
EXAMPLES = re.findall(r"^```yaml.*\n(instances:\n[\s\S]*?)^```", BOTH, re.M)


def load(folder: Path, text: str) -> Settings:
    (folder / "bridge.yaml").write_text(text)
    return load_settings(folder / "bridge.yaml")


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_configuration(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).instances["acme"].url == "https://acme.service-now.com"


def test_every_scheme_has_its_example(tmp_path: Path) -> None:
    instances = [load(tmp_path, text).instances["acme"] for text in EXAMPLES]
    assert {instance.auth.scheme for instance in instances} == set(AuthScheme)
    assert [instance for instance in instances if instance.transport != Transport()]


def test_every_code_that_is_explained_exists() -> None:
    table = PAGE.read_text("utf-8").partition("## When it is refused")[2]
    explained = {code for row in re.findall(r"^\| (`.*?) \|", table, re.M) for code in re.findall(r"`([a-z_]+)`", row)}
    permanent = {code for _status, _contains, code, _remedy in outcome.PERMANENT}
    says_of_servicenow = {"server_error", "access_denied"}
    assert explained - says_of_servicenow <= breaker.DOWN | breaker.CREDENTIALS | breaker.NEUTRAL | permanent
    assert breaker.CREDENTIALS - explained == {"unauthorized_client"}

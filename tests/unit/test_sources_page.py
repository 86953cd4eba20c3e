"""docs/sources.md: its examples are good, and it names every way in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.settings import load_settings
from bridge.settings.signatures import PRESETS
from bridge.settings.sources import ENVELOPES, SCHEMES

PAGE = (Path(__file__).parents[2] / "docs/sources.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_taken(tmp_path: Path, example: str) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(example, encoding="utf-8")
    assert load_settings(file).sources


@pytest.mark.parametrize("word", [*SCHEMES, *PRESETS, *ENVELOPES])
def test_every_way_in_is_on_the_page(word: str) -> None:
    assert re.search(rf"[`:] ?{word}\b", PAGE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3

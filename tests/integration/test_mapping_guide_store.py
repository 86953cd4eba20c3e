"""docs/mapping-guide.md with a store: what is published, received and planned is as the page shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapping_guide import FILE, agrees, blocks, needs_store, world


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str], list[str]]]:
    folder: Path = tmp_path_factory.mktemp("guide")
    with world(folder, stored=True) as player:
        return [result for block in blocks(FILE.read_text("utf-8")) for result in player.play(block)]


def test_commands_that_need_a_store_print_what_the_page_shows(played: list[tuple[str, list[str], list[str]]]) -> None:
    stored = [result for result in played if needs_store(result[0])]
    assert len(stored) == 10
    for command, shown, printed in stored:
        assert agrees(shown, printed), f"{command}\n" + "\n".join(printed)

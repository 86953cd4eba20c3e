"""docs/auditors-guide.md: its commands, run without the bridge, print what it shows; its tables miss nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from auditors_guide import FILE, ROOT, Player
from mapping_guide import Block, agrees, blocks, table_of_page

from bridge.log.entries import Action

PAGE = FILE.read_text("utf-8")
BLOCKS = blocks(PAGE)
SAYING = [block for block in BLOCKS if block.kind == "console"]
VERDICTS = [
    words
    for row in re.findall(r"^\| (`.+?) \|", PAGE.partition("| the verdict |")[2].partition("\n\n")[0], re.MULTILINE)
    for words in re.findall(r"`([^`]+)`", row)
]

Played = dict[int, list[tuple[str, list[str], list[str]]]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """By the line of a block: its commands, what the page shows, what they printed."""
    player = Player(tmp_path_factory.mktemp("auditor"))
    return {block.line: player.play(block) for block in BLOCKS}


@pytest.mark.parametrize("block", SAYING, ids=lambda block: block.title)
def test_commands_print_what_the_page_shows(played: Played, block: Block) -> None:
    for command, shown, printed in played[block.line]:
        assert agrees(shown, printed), f"{command}\n" + "\n".join(printed)


@pytest.mark.parametrize("action", Action)
def test_every_action_answers_one_of_an_auditors_questions(action: Action) -> None:
    assert table_of_page(PAGE, "| The question | Actions |").count(f"`{action}`") == 1


def test_verdicts_are_explained() -> None:
    assert len(VERDICTS) > 10


@pytest.mark.parametrize("words", VERDICTS)
def test_a_verdict_that_the_page_explains_is_one_of_the_verifiers(words: str) -> None:
    assert words in (ROOT / "bridge/log/verify.py").read_text("utf-8")


def test_what_the_page_links_to_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```[\s\S]*?^```$", "", PAGE, flags=re.MULTILINE), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
    assert [name for name in re.findall(r"\]\(([\w.-]+\.md)\)", PAGE) if not Path(FILE.parent, name).exists()] == []

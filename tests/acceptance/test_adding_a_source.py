"""docs/adding-a-source.md adds a product by one mapping file and its sample: followed as it stands, to the incident."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adding_page import FILE, installed, play
from machine import Machine
from mapping_guide import Block, agrees, blocks

BLOCKS = blocks(FILE.read_text("utf-8"))
Played = dict[int, list[tuple[str, list[str], list[str]]]]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with installed(tmp_path_factory.mktemp("adding")) as running:
        yield running


@pytest.fixture(scope="module")
def played(machine: Machine) -> Played:
    return {block.line: play(machine, block) for block in BLOCKS}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "console"], ids=lambda block: block.title)
def test_its_commands_print_what_it_shows(played: Played, block: Block) -> None:
    for command, shown, printed in played[block.line]:
        assert agrees(shown, printed), f"{command}\n" + "\n".join(printed)


def test_it_writes_one_mapping_and_its_sample_and_nothing_else() -> None:
    written = [block.info for block in BLOCKS if block.kind != "console"]
    assert written == ["mappings/samples/doorwatch.json", "mappings/doorwatch.yaml"]


def test_what_it_ends_with_is_an_incident(machine: Machine, played: Played) -> None:
    records = machine.records()
    assert [record["short_description"] for record in records] == ["[High] Held open: Server room, Berlin"]

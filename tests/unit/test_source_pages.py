"""docs/sources/ is what the mappings say today: `make pages` writes it."""

from __future__ import annotations

import re

import pytest
from source_pages import FOLDER, pages, products

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_that_of_its_mapping(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name]


def test_there_is_no_page_of_anything_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_its_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL))
    assert links
    assert [link for link in links if not link.startswith("https:") and not (FOLDER / link).exists()] == []


@pytest.mark.parametrize("offer", products(), ids=lambda offer: offer.name)
def test_every_way_has_steps(offer: object) -> None:
    product = offer.product  # type: ignore[attr-defined]
    assert all(product.steps(way) for way in product.ways)

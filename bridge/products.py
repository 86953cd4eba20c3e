"""The products that can be connected: those of the mappings folder, and those that the bridge ships beside its code."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import Misconfigured, Problem
from bridge.mapping.compile import Mapping
from bridge.mapping.load import load_mappings
from bridge.mapping.product import Product, Way
from bridge.mapping.trial import samples_named
from bridge.mapping.written import written_condition

SHIPPED = Path(__file__).resolve().parents[1] / "mappings"  # of a checkout; elsewhere it need not be there

# Of a mapping that names no product: whoever posts can be given a header.
ANY_WAY = (
    Way(name="bearer", auth={"scheme": "bearer"}, envelope=None, secret_given=False),
    Way(name="basic", auth={"scheme": "basic"}, envelope=None, secret_given=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One mapping, and where its files lie."""

    mapping: Mapping
    folder: Path
    shipped: bool  # not yet in the mappings folder

    @property
    def name(self) -> str:
        return self.mapping.name

    @property
    def product(self) -> Product | None:
        return self.mapping.product

    @property
    def label(self) -> str:
        return self.product.name if self.product is not None else self.mapping.display

    @property
    def ways(self) -> tuple[Way, ...]:
        return self.product.ways if self.product is not None else ANY_WAY

    @property
    def closes_when(self) -> str:
        """What ends an incident, as the mapping has it; "" when nothing does."""
        return closes_when(self.mapping)

    def files(self) -> dict[str, bytes]:
        """All that belongs to it: includes, look-up tables and samples, as paths below the mappings folder."""
        found = {path: text.encode() for path, text in self.mapping.files.items()}
        return found | {path: (self.folder / path).read_bytes() for path in sorted(samples_named(self.mapping))}


def closes_when(mapping: Mapping) -> str:
    correlation = mapping.tree.get("correlation")
    node = correlation.get("close_when") if correlation is not None else None
    return written_condition(node) if node is not None else ""


def names_of(folder: Path, shipped: Path = SHIPPED) -> dict[str, Path]:
    """Every mapping that there is -> the folder of its file. What the folder has comes before what is shipped."""
    return {path.stem: place for place in (shipped, folder) for path in sorted(place.glob("*.yaml"))}


def offer_of(name: str, place: Path, folder: Path) -> Offer:
    """The mapping `name` of one place; `folder` is the mappings folder. Raises Misconfigured."""
    return Offer(mapping=load_mappings(place, [name])[name], folder=place, shipped=place != folder)


def offers(places: MappingType[str, Path], folder: Path) -> tuple[list[Offer], list[Problem]]:
    """Of `names_of`, by name; what does not compile is told, and left out."""
    found: list[Offer] = []
    problems: list[Problem] = []
    for name, place in sorted(places.items()):
        try:
            found.append(offer_of(name, place, folder))
        except Misconfigured as error:
            problems += error.problems
    return found, list(dict.fromkeys(problems))

"""What the tests of publishing share: one bridge.yaml, its mappings folder, and processes that serve from one store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from intake_world import PROBE, rows
from sqlalchemy import select

from bridge.cli import main
from bridge.doors import doors_of
from bridge.library import Library
from bridge.publishing import in_use, publish
from bridge.reloader import Reloader
from bridge.settings import Settings, load_settings
from bridge.sources_file import SourcesFile
from bridge.store.engine import Store
from bridge.store.tables import log_entries

BRIDGE_YAML = """\
database: %s
mappings: {path: mappings, reload: %s}
instances:
  corp: {url: "http://127.0.0.1:9", auth: {scheme: basic, username: a, password: {env: NOT_NEEDED}}}
targets:
  itsm: {instance: corp, table: incident}
sources:
  probe: {mapping: probe, auth: {scheme: none}}
"""
OTHER = PROBE.replace('"{{ rule }}"}', '"Probe: {{ rule }}"}')
THIRD = PROBE.replace('"{{ rule }}"}', '"{{ rule }}!"}')
assert len({PROBE, OTHER, THIRD}) == 3
NOTE = ("--note", "a reason")

TESTED = (
    PROBE
    + """
tests:
  - name: it opens an incident
    alert: samples/probe.json
    expect: {action: %s}
"""
)


class Place:
    """One installation: its folder and its store."""

    def __init__(self, store: Store, folder: Path, url: str, reload: str) -> None:
        self.store = store
        self.folder = folder
        (folder / "mappings/samples").mkdir(parents=True)
        (folder / "mappings/samples/probe.json").write_text('{"alerts": [{"rule": "r1"}]}')
        (folder / "bridge.yaml").write_text(BRIDGE_YAML % (json.dumps(url), reload))
        self.write(PROBE)

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder / "bridge.yaml")

    def write(self, text: str, name: str = "probe") -> None:
        (self.folder / f"mappings/{name}.yaml").write_text(text)

    def process(self) -> Process:
        """A serving process, as it is after its start."""
        publish(self.settings, self.store, actor="start")
        return Process(self)

    def log(self, action: str) -> list[dict[str, Any]]:
        with self.store.reading() as tx:
            found = tx.execute(
                select(log_entries.c.entry).where(log_entries.c.action == action).order_by(log_entries.c.id)
            )
            return [msgspec.json.decode(row.entry) for row in found]

    def rows(self, table: Any) -> list[Any]:
        return rows(self.store, table)


class Process:
    """The library of one serving process, and the reloader that follows; its thread does not run."""

    def __init__(self, place: Place) -> None:
        taken = in_use(place.settings, place.store)
        self.library = Library(taken.current)
        self.doors = set(place.settings.sources)
        sources_file = SourcesFile(place.settings, self._opening)
        self.reloader = Reloader(place.settings, place.store, self.library, taken, sources_file)

    def _opening(self, wanted: Settings) -> Callable[[], None]:
        doors_of(wanted, None)
        return lambda: setattr(self, "doors", set(wanted.sources))

    def look(self, *, files: bool = True) -> None:
        self.reloader.look(files=files)

    @property
    def text(self) -> str:
        """Of the mapping in use."""
        return self.library["probe"].mapping.files["probe.yaml"]


class Command:
    """`bridge mapping …` before one installation."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        config = str(self.place.folder / "bridge.yaml")
        assert main(["mapping", *words, "--config", config]) == status, self._capsys.readouterr()
        output = self._capsys.readouterr()
        return output.err if status else output.out

    def said(self, *words: str, status: int) -> str:
        """What is printed, although the status is not 0."""
        config = str(self.place.folder / "bridge.yaml")
        assert main(["mapping", *words, "--config", config]) == status
        return self._capsys.readouterr().out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def publish(self, text: str) -> str:
        """Write it and publish it; its revision."""
        self.place.write(text)
        return str(self.json("publish", *NOTE)[0]["revision"])

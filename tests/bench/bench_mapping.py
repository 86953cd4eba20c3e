"""What mapping costs: an alert of each example of the language beside other ways, a start, a reload.

    python tests/bench/bench_mapping.py [--rounds N] [--calls N]

An alert costs `split` and `map` at intake, and `render` of a create at sync: microseconds of the processor in one
thread, the best of several rounds in which all take turns, for the others measure the machine's other work as well.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from mapping_ways import FLOOR, WAYS
from row import Row, at_most, show

from bridge.alert import MappedAlert
from bridge.correlation.policy import Kind
from bridge.library import Library
from bridge.mapping.compile import Mapping
from bridge.mapping.load import load_mappings
from bridge.mapping.rendered import Facts, Rendered
from bridge.publishing import in_use, publish
from bridge.reloader import Reloader
from bridge.settings import Reload, Settings, Source, SourceAuth, Target
from bridge.sources_file import SourcesFile
from bridge.store.engine import open_store
from bridge.store.tables import metadata
from bridge.wiring import utc_now

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = Path(__file__).resolve().parent.parent / "unit" / "mapping_examples"
SAMPLES = {"elastic": "elastic-powershell.json", "aws-securityhub": "securityhub-s3.json"}
COMMAND = Path(__file__).name
TABLES = {"itsm": "incident", "sir": "sn_si_incident"}
NOW = datetime(2026, 11, 24, 21, 5, tzinfo=UTC)
COPIES = 20  # of each of the two examples
RELOADS = 3
WAIT_SECONDS_MAX = 30
ALERT_AIM, COMPILE_AIM, RELOAD_AIM = 25, 1, 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rounds", type=int, default=40)
    made.add_argument("--calls", type=int, default=300, help="of each round")
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    mappings = load_mappings(EXAMPLES, SAMPLES)
    for name, sample in SAMPLES.items():
        delivery = msgspec.json.decode((EXAMPLES / "samples" / sample).read_bytes())
        yield from compare(mappings[name], delivery, arguments)
    for copies in (1, COPIES):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            names = copy_examples(folder, copies)
            seconds = compiling(lambda folder, copies=copies: copy_examples(folder, copies))
            yield seconds_of(f"{len(names)} mappings compiled", seconds, COMPILE_AIM)
            seconds = statistics.median(reloading(folder, names))
            yield seconds_of(f"One of {len(names)} mappings saved, to its first alert", seconds, RELOAD_AIM)
    shipped = len(list((REPOSITORY / "mappings").glob("*.yaml")))
    yield seconds_of(f"The {shipped} mappings that come with the bridge compiled", compiling(copy_all), COMPILE_AIM)


def seconds_of(case: str, seconds: float, aim: float) -> Row:
    return Row(case=case, command=COMMAND, measured=seconds, unit="s", aim=at_most(aim))


# --- one alert


def compare(mapping: Mapping, delivery: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    alert = mapping.split(delivery)[0][0]
    mapped = mapping.map(alert, now=NOW)
    facts, table = facts_of(mapping, mapped), TABLES[str(mapped.target)]
    ways = WAYS[mapping.name]
    wanted = answer_of(mapped, mapping.render(alert, Kind.CREATE, facts, table))
    for way, answers in ways.items():
        check_the_same(f"{way} on {mapping.name}", wanted, answers(alert))
    took = take_turns(
        {
            "split and map": lambda: mapping.map(mapping.split(delivery)[0][0], now=NOW),
            "render a create": lambda: mapping.render(alert, Kind.CREATE, facts, table),
            **{name: lambda way=way: way(alert) for name, way in ways.items()},
        },
        arguments,
    )
    took = {"the bridge": took["split and map"] + took["render a create"], **took}
    size = len(msgspec.json.encode(delivery))
    for name, microseconds in took.items():
        if name == FLOOR:
            continue
        yield Row(
            case=f"An alert of {mapping.name} mapped and rendered: {name}",
            command=COMMAND,
            measured=microseconds,
            unit="µs",
            beside=FLOOR,
            beside_measured=took[FLOOR],
            ratio=microseconds / took[FLOOR],
            aim=at_most(ALERT_AIM) if name == "the bridge" else None,
            note=f"{size:,} bytes, {len(wanted)} values",
        )


def facts_of(mapping: Mapping, mapped: MappedAlert) -> Facts:
    return Facts(
        severity=mapped.severity,
        status=mapped.status,
        source=mapping.name,
        mapping=mapping.name,
        now=NOW,
        first_seen=NOW,
        last_seen=NOW,
        repeat_count=1,
        correlation_id=mapped.correlation_id,
    )


def answer_of(mapped: MappedAlert, rendered: Rendered) -> dict[str, Any]:
    """What every other way yields as well; a record to find is known by its name."""
    return {
        "correlation_id": mapped.correlation_id,
        "severity": mapped.severity.word,
        "route": mapped.target,
        **rendered.fields,
        **{column: find.by[0][1] for column, find in rendered.finds.items()},
        "observables": [observable.value for observable in rendered.observables],
    }


def check_the_same(who: str, wanted: dict[str, Any], answer: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if answer.get(key) != value:
            raise SystemExit(f"{who} yields another {key}: {answer.get(key)!r}, not {value!r}")


def take_turns(calls: dict[str, Callable[[], object]], arguments: argparse.Namespace) -> dict[str, float]:
    """Microseconds for one call of each."""
    best = dict.fromkeys(calls, float("inf"))
    for turn in range(arguments.rounds):
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            call, began = calls[name], time.process_time()
            for _ in range(arguments.calls):
                call()
            best[name] = min(best[name], (time.process_time() - began) / arguments.calls * 1e6)
    return best


# --- a start and a reload


def copy_examples(folder: Path, copies: int) -> list[str]:
    """The examples, each under so many names."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    names = [(example, f"{example}-{number}") for example in SAMPLES for number in range(copies)]
    for example, name in names:
        text = (EXAMPLES / f"{example}.yaml").read_text("utf-8")
        (folder / f"{name}.yaml").write_text(text.replace(f"mapping: {example}", f"mapping: {name}", 1), "utf-8")
    return [name for _, name in names]


def copy_all(folder: Path) -> list[str]:
    """The repository's own mappings."""
    shutil.copytree(REPOSITORY / "mappings", folder, dirs_exist_ok=True)
    return [file.stem for file in folder.glob("*.yaml")]


def compiling(fill: Callable[[Path], list[str]]) -> float:
    """Seconds of the processor."""
    times = []
    for _ in range(RELOADS):
        with tempfile.TemporaryDirectory() as folder:  # a new one: what did not change is not read as YAML again
            names = fill(Path(folder))
            began = time.process_time()
            load_mappings(Path(folder), names)
            times.append(time.process_time() - began)
    return min(times)


def reloading(folder: Path, names: list[str]) -> Iterator[float]:
    """Seconds from a save to the first alert that the new revision has mapped, with all that `serve` does between."""
    settings = Settings(
        file=folder / "bridge.yaml",
        database=f"sqlite:///{folder}/bench.db",
        mappings_path=folder,
        reload=Reload.AUTO,
        server_threads=1,
        signing_keys=(),
        instances={},
        targets={name: Target(name=name, instance="none", table=table) for name, table in TABLES.items()},
        sources={name: Source(name=name, mapping=name, auth=SourceAuth(scheme="none")) for name in names},
    )
    alert = msgspec.json.decode((EXAMPLES / "samples" / SAMPLES["elastic"]).read_bytes())
    store = open_store(settings.database, utc_now)
    metadata.create_all(store.engine)
    publish(settings, store, actor="bench")
    taken = in_use(settings, store)
    library = Library(taken.current)
    reloader = Reloader(settings, store, library, taken, SourcesFile(settings, lambda _wanted: lambda: None))
    reloader.start()
    try:
        time.sleep(1)  # until the watch has begun
        for number in range(RELOADS):
            file = folder / f"{names[0]}.yaml"
            text = f"{file.read_text('utf-8')}# {number}\n"
            file.write_text(text, "utf-8")
            yield until_mapped(library, names[0], text, alert)
    finally:
        reloader.stop()
        store.close()


def until_mapped(library: Library, name: str, text: str, alert: Any) -> float:
    began = time.monotonic()
    while time.monotonic() - began < WAIT_SECONDS_MAX:
        mapping = library[name].mapping
        mapping.map(mapping.split(alert)[0][0], now=NOW)
        if mapping.files[f"{name}.yaml"] == text:
            return time.monotonic() - began
        time.sleep(0.001)
    raise SystemExit(f"no alert was mapped by the new revision within {WAIT_SECONDS_MAX} s: {library.refused}")


if __name__ == "__main__":
    show(parser(), rows)

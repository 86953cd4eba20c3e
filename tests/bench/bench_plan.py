"""How long `bridge mapping plan` takes over a store of alerts of ten thousand problems, and its peak memory.

python tests/bench/bench_plan.py [--alerts N]
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from row import Row, at_most, show

from bridge.store.engine import open_store
from bridge.store.schema import upgrade_store
from bridge.store.tables import alerts, deliveries
from bridge.wiring import utc_now

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
BRIDGE = (sys.executable, "-m", "bridge.cli")
COMMAND = Path(__file__).name
PROBLEMS = 10_000
ALERTS_AIMED_AT, SECONDS_MAX = 100_000, 60
PAGE = 1_000
BRIDGE_YAML = """\
database: sqlite:///bridge.db
mappings: {path: mappings, reload: publish_only}
instances:
  corp: {url: "https://corp.example", auth: {scheme: basic, username: a, password: {env: NOT_NEEDED}}}
targets:
  itsm: {instance: corp, table: incident, close: {code: Resolved}}
  sir: {instance: corp, table: sn_si_incident, close: {code: Resolved}}
sources:
  elastic: {mapping: elastic, auth: {scheme: none}}
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--alerts", type=int, default=ALERTS_AIMED_AT)
    return made


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    many = arguments.alerts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(MAPPINGS, folder / "mappings")
        (folder / "bridge.yaml").write_text(BRIDGE_YAML)
        fill(folder, many)
        run(folder, "publish", "elastic", "--note", "the one before")
        mapping = folder / "mappings/elastic.yaml"
        mapping.write_text(mapping.read_text().replace('id: "{{ rule_id }}:', 'id: "{{ rule }}:'))
        began = time.monotonic()
        peak = run(folder, "plan", "elastic", status=2)
        seconds = time.monotonic() - began
    aim = SECONDS_MAX * many / ALERTS_AIMED_AT
    case = f"bridge mapping plan over {many:,} alerts"
    yield Row(case=case, command=COMMAND, measured=seconds, unit="s", aim=at_most(aim))
    yield Row(case=f"{case}, its peak memory", command=COMMAND, measured=peak, unit="MB")


def run(folder: Path, *words: str, status: int = 0) -> float:
    """Megabytes at its peak."""
    line = [*BRIDGE, "mapping", *words, "--config", str(folder / "bridge.yaml")]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        _, ended, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    assert process.returncode == status
    return usage.ru_maxrss / 1_000


def fill(folder: Path, many: int) -> None:
    """One alert a delivery, over six days; a tenth of them resolves."""
    store = open_store(f"sqlite:///{folder / 'bridge.db'}", utc_now)
    upgrade_store(store)
    sample = json.loads((folder / "mappings/samples/elastic-powershell.json").read_text())
    rolled = random.Random(1)
    begin, step = utc_now() - timedelta(days=6), timedelta(days=6) / many
    for first in range(0, many, PAGE):
        rows = [row(sample, rolled, number, begin + number * step) for number in range(first, min(first + PAGE, many))]
        with store.transaction() as tx:
            tx.execute(deliveries.insert(), rows)
            tx.execute(alerts.insert(), [alert_row(one) for one in rows])
    store.close()


def row(sample: dict[str, object], rolled: random.Random, number: int, at: object) -> dict[str, object]:
    alert = copy.deepcopy(sample)
    alert["host"] = {"name": f"WKS-{rolled.randrange(PROBLEMS)}"}
    alert["@timestamp"] = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    if rolled.random() < 0.1:
        alert["kibana.alert.workflow_status"] = "closed"
    return {
        "id": number + 1,
        "source": "elastic",
        "tenant": "default",
        "fingerprint": number.to_bytes(16, "big"),
        "occurrence": 1,
        "received_at": at,
        "content_type": "application/json",
        "body": json.dumps(alert).encode(),
    }


def alert_row(delivery: dict[str, object]) -> dict[str, object]:
    """That it was taken: what became of it is the plan's to find out."""
    return {
        "delivery_id": delivery["id"],
        "position": 0,
        "covers_rest": False,
        "outcome": "accepted",
        "reason": "new",
        "received_at": delivery["received_at"],
    }


if __name__ == "__main__":
    show(parser(), rows)

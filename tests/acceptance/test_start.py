"""What stops a start: said in lines that name the place, exit status 2, and nothing listens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import Misconfigured
from bridge.store.engine import open_store
from bridge.store.start import lock_sqlite
from bridge.wiring import utc_now

BRIDGE = (sys.executable, "-m", "bridge.cli")


def serve(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [*BRIDGE, "serve", "--config", str(folder / "bridge.yaml"), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run([*BRIDGE, "init", str(tmp_path / "b")], check=True, capture_output=True, timeout=60)
    return tmp_path / "b"


def test_every_problem_of_the_configuration_is_told_at_once(folder: Path) -> None:
    config = folder / "bridge.yaml"
    config.write_text(
        config.read_text().replace("table: incident", "table: incidents").replace("mapping: try ", "maping: try ")
    )
    done = serve(folder)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len([line for line in lines if line.startswith(f"{config}:")]) == len(lines) >= 2
    assert "did you mean" in done.stderr or "incident" in done.stderr


def test_a_key_that_is_wrong_hides_neither_secrets_nor_mappings(folder: Path) -> None:
    config = folder / "bridge.yaml"
    config.write_text(
        config.read_text().replace("table: incident", "tabel: incident")
        + "  g: {mapping: nomap, auth: {scheme: bearer, secret: {env: BRIDGE_TEST_NOT_SET}}}\n"
    )
    mapping = folder / "mappings/try.yaml"
    mapping.write_text(mapping.read_text().replace("display:", "dispaly:"))
    done = serve(folder)
    assert done.returncode == 2
    for told in ("unknown key `tabel`", "BRIDGE_TEST_NOT_SET is not set", "no mapping `nomap`", "no key `dispaly`"):
        assert told in done.stderr


def test_a_mapping_with_a_mistake_stops_the_start(folder: Path) -> None:
    (folder / "mappings/try.yaml").write_text("mapping: try\nno_such_key: 1\n")
    done = serve(folder)
    assert (done.returncode, "try.yaml:2:1" in done.stderr) == (2, True)


def test_a_source_without_a_secret_is_not_served_to_the_network(folder: Path) -> None:
    done = serve(folder, "--bind", "0.0.0.0:0")
    assert (done.returncode, "takes alerts from anyone" in done.stderr) == (2, True)


def test_two_bridges_do_not_serve_one_database(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}", utc_now)
    with lock_sqlite(store.file), pytest.raises(Misconfigured, match="another bridge serves this database"):
        lock_sqlite(store.file, seconds_max=0)
    store.close()


def test_a_port_that_is_taken_is_one_readable_line(folder: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(folder, "--bind", address)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"cannot listen on {address}: Address already in use; choose another port" in done.stderr


def test_the_wsgi_entry_builds_the_app_for_those_who_run_gunicorn_themselves(folder: Path) -> None:
    code = "import app; print(app.app.test_client().get('/livez').status_code)"
    line = [sys.executable, "-c", code]
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"BRIDGE_CONFIG": str(folder / "bridge.yaml")}
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "200"), done.stderr

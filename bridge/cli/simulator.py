"""`bridge simulator`: a ServiceNow to try mappings on, on this machine only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import example

if TYPE_CHECKING:
    from bridge.simulator.server import SimulatorServer

TLS_FOLDER = "var/simulator-tls"


@click.command(epilog=example("bridge simulator --port 8081"))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--user", default="bridge", show_default=True, help="The API user.")
@click.option("--password", default="bridge", show_default=True, help="Its password.")
@click.option("--scenario", type=click.Path(path_type=Path), help="A YAML file: faults, access, import sets, switches.")
@click.option(
    "--tls",
    type=click.Path(path_type=Path, file_okay=False),
    is_flag=False,
    flag_value=TLS_FOLDER,
    help=f"Serve https, with a CA of its own, kept in the folder (alone: {TLS_FOLDER}).",
)
@click.option("--no-sir", is_flag=True, help="As if Security Incident Response were not installed.")
def simulator(port: int, user: str, password: str, scenario: Path | None, tls: Path | None, *, no_sir: bool) -> None:
    """Run the ServiceNow simulator until Ctrl+C.

    Its records live in memory. Look at them at its URL in a browser.
    """
    from bridge.errors import Misconfigured
    from bridge.simulator.server import run
    from bridge.wiring import utc_now

    if not user or ":" in user:
        raise click.UsageError("--user must not be empty or hold a colon: Basic authentication cannot carry it")
    try:
        run(
            clock=utc_now,
            port=port,
            username=user,
            password=password,
            scenario=scenario,
            security_incidents=not no_sir,
            tls_folder=tls,
            announce=lambda server: _announce(server, tls),
        )
    except Misconfigured as error:
        click.echo(error.message, err=True)
        raise SystemExit(2) from error
    except OSError as error:
        click.echo(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; give another --port", err=True)
        raise SystemExit(2) from error


def _announce(server: SimulatorServer, tls: Path | None) -> None:
    trust = "" if tls is None else f" --cacert {shlex.quote(str(tls / 'ca.pem'))}"
    account = shlex.quote(f"{server.username}:{server.password}")
    body = '{"short_description": "Hello", "impact": "2", "urgency": "2"}'
    click.echo(f"ServiceNow simulator at {server.url} (user {server.username}, password {server.password})")
    if tls is not None:
        click.echo(f"Trust the CA in {tls / 'ca.pem'}; client.pem and client.key there are the user's own certificate.")
    click.echo("Open the URL in a browser to see the records. Create one:")
    click.echo(f"  curl{trust} -u {account} -H 'Accept: application/json' -H 'Content-Type: application/json' \\")
    click.echo(f"    -d '{body}' {server.url}/api/now/table/incident")
    click.echo("Make the next create fail after it was applied:")
    click.echo(f"  curl{trust} -H 'Content-Type: application/json' \\")
    click.echo(f"""    -d '{{"kind": "reset_after_commit", "method": "POST"}}' {server.url}/simulator/faults""")
    click.echo("Ctrl+C stops it.")

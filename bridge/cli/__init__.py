"""`bridge`: the tree of commands, and the one place where an error becomes a line and an exit status.

Exit status: 0 fine; 1 what was checked is wrong, or the work failed; 2 wrong usage or configuration. A command's module
is imported when the command is used: `bridge --help` stays quick.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bridge.errors import BridgeError, Misconfigured

FINE, WRONG, MISUSED, INTERRUPTED = 0, 1, 2, 130

# name -> (where the command is, what it does)
COMMANDS = {
    "init": ("bridge.cli.init:init", "Write a bridge.yaml, a key for the log and a sample mapping to start from."),
    "serve": ("bridge.cli.serve:serve", "Receive alerts and keep ServiceNow in step."),
    "worker": ("bridge.cli.worker:worker", "Keep ServiceNow in step, and receive nothing (PostgreSQL)."),
    "simulator": ("bridge.cli.simulator:simulator", "Run a ServiceNow to try mappings on."),
    "demo": ("bridge.cli.demo:demo", "Run the main job for real, against the simulator."),
    "check": ("bridge.cli.check:check", "Check bridge.yaml, its secrets and all mappings."),
    "doctor": ("bridge.cli.doctor:doctor", "Check each ServiceNow instance end to end, and say what to fix."),
    "sources": ("bridge.cli.sources:sources", "See which products there are, connect one, and try it."),
    "mapping": ("bridge.cli.mapping:mapping", "Work with mapping files."),
    "targets": ("bridge.cli.targets:targets", "See, pause, resume and release where incidents go."),
    "alerts": ("bridge.cli.alerts:alerts", "See what was received, and replay it."),
    "quarantine": ("bridge.cli.quarantine:quarantine", "See and replay alerts that could not be mapped."),
    "incidents": ("bridge.cli.incidents:incidents", "Correlations, their incidents, and why they wait."),
    "log": ("bridge.cli.log:log", "Read the correlation log; erase values."),
    "token": ("bridge.cli.token:token", "Who may read over the API."),
    "db": ("bridge.cli.db:db", "Look after the database."),
}


class Tree(click.Group):
    """The top group: lists its commands from the table above and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise click.UsageError(
                f"No such command '{args[0]}'" + (f". Did you mean '{near[0]}'?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


tree = Tree(
    name="bridge",
    help="Keeps exactly one ServiceNow incident per problem that security tools report.",
    epilog="\b\nExample:\n  bridge init try && cd try && bridge check",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Never a traceback: an error is one readable line on stderr."""
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as with `| head`
        _drop_output()
        return FINE
    except OSError as error:  # only what is left to be flushed can fail here
        _say(f"the output cannot be written: {error.strerror}")
        _drop_output()
        return WRONG
    return status


def _run(words: list[str]) -> int:
    try:
        with tree.make_context("bridge", words) as context:
            tree.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return MISUSED
    except click.ClickException as error:
        _say(_usage(error))
        return MISUSED
    except Misconfigured as error:
        for problem in error.problems:
            _say(_one_line(str(problem)))
        return MISUSED
    except BridgeError as error:
        _say(_one_line(error.message))
        return WRONG
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 (the program's edge: a person gets a line, not a traceback)
        _say(
            _one_line(f"internal error: {type(error).__name__}: {error}; please report it (BRIDGE_DEBUG=1 says where)")
        )
        if os.environ.get("BRIDGE_DEBUG") == "1":
            import traceback

            traceback.print_exception(error)
        return WRONG
    return FINE


def _usage(error: click.ClickException) -> str:
    """One line: which command, what is wrong, where to read on."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return _one_line(f"bridge: {error.format_message()}")
    message = error.format_message().rstrip(".")
    return _one_line(f"{context.command_path}: {message} (see `{context.command_path} --help`)")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(line: str) -> None:
    click.echo(line, err=True)


def _drop_output() -> None:
    """So that the interpreter, which flushes once more at exit, does not complain of the closed pipe."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())

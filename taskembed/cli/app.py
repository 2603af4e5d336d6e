"""Builds the application from its commands, and runs one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache as cached
from importlib import import_module
from typing import Annotated, Any

import typer

from taskembed.cli._base.boundary import failed
from taskembed.cli._base.command import Command, ErrorFormat, Group
from taskembed.cli._process.interrupt import Interrupt
from taskembed.cli.options.help import MAX_WIDTH
from taskembed.cli.printing.log import LOG
from taskembed.cli.printing.output import write
from taskembed.errors import (
    ExitCode,
)
from taskembed.version import __version__

ENVIRONMENT = """\
Environment variables: TASKEMBED_INDEX, _TASK, _MODEL, _API_BASE, _DEVICE, _PRECISION, _THREADS,
_OFFLINE, _CACHE, _QUIET and _JSON are the defaults of these options; TASKEMBED_API_KEY is the key
for --api-base. ~/.config/taskembed/config.toml, or the file in TASKEMBED_CONFIG, can set the same
defaults, and define names for indexes. See docs/environment.md."""
EXIT_CODES = """\
Exit codes: 0 done; 1 done, some records rejected; 2 usage; 65 bad input; 66 no such input or index;
69 model not available; 70 bug; 74 disk full or failing; 75 another writer; 76 index damaged; 77 no
permission; 78 another embedding space; 130, 143 stopped; 141 closed pipe."""

COMMANDS = {
    "Index and search": (
        *("index", "search", "similar", "dedup", "classify", "cluster", "get", "list", "count"),
        *("delete", "compact", "publish", "tune", "info", "verify", "mcp"),
    ),
    "Vectors": ("encode", "export", "import"),
    "Models": ("models", "explain"),
    "Evaluation": ("evaluate", "ablate", "compare"),
    "Training": ("train", "distill"),
}
_COMPLETION = "_TASKEMBED_COMPLETE"  # the variable by which a shell asks for completions


def _print_version(value: bool) -> None:  # typer's signature
    if value:
        write(f"taskembed {__version__}\n")
        raise typer.Exit


def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Batch indexing and search with task-aware embeddings.

    All vectors in an index belong to one embedding space: a model, a task, its prompts. The space
    is stored in the index, and a query from a different space is refused.

    Example:
        taskembed index corpus.jsonl --task retrieval
        taskembed search "why is the sky blue?"
    """
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")
        raise typer.Exit(ExitCode.USAGE)


def application(only: str | None = None) -> typer.Typer:
    """Return the application; command NAME is the function NAME_command of the module NAME.

    Args:
        only: the only command to include; None for all commands. Importing all modules and reading
            all signatures takes longer than the rest of a short command.
    """
    app = typer.Typer(
        name="taskembed",
        cls=Group,
        invoke_without_command=True,
        epilog=f"{ENVIRONMENT}\n\n{EXIT_CODES}",
        rich_markup_mode=None,  # rich costs 0.06 s at start-up
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH},
    )
    for heading, names in COMMANDS.items():
        for name in names:
            if only in {None, name}:
                module = import_module(f"taskembed.cli.{name}")
                # several words are probably a query without quotes: `Command` reports that
                settings = {"allow_extra_args": name == "search"}
                app.command(name, cls=Command, rich_help_panel=heading, context_settings=settings)(
                    getattr(module, f"{name}_command")
                )
    if only is None:
        from taskembed.cli import cache

        app.add_typer(cache.app, name="cache", rich_help_panel="Models")
    app.callback()(_options)
    return app


@cached
def _group(only: str | None) -> Any:  # noqa: ANN401  # typer's TyperGroup
    """Return the application as typer's command group.

    The result is cached for programs that run several commands.
    """
    return typer.main.get_command(application(only))


def _command_of(arguments: Sequence[str]) -> str | None:
    """Return the command that the arguments name first; None if all commands are needed.

    Completions, the overall help, and suggestions for an unknown name need all commands.
    """
    known = {name for names in COMMANDS.values() for name in names}
    named = next(iter(arguments), None)
    return named if named in known and _COMPLETION not in os.environ else None


def run(arguments: Sequence[str], *, interrupt: Interrupt | None = None) -> int:
    """Run a command and return its exit code; every exception becomes a message.

    Args:
        arguments: the arguments of the process; `help COMMAND` means `COMMAND --help`.
        interrupt: sets what Ctrl-C does, if the process runs only this command.
    """
    error_format = ErrorFormat()
    interrupt = interrupt or Interrupt()
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    try:
        interrupt.raise_from_now()
        for stream in (sys.stdout, sys.stderr):
            # UTF-8 in any locale; other bytes, in file names, are printed as escapes
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        group = _group(_command_of(arguments))
        code = group(arguments, prog_name="taskembed", standalone_mode=False, obj=error_format)
        write("")  # detects a full disk behind stdout
        return int(code or 0)
    except SystemExit as done:  # how typer ends after printing a completion, or into a closed pipe
        if isinstance(done.__context__, OSError):
            return int(ExitCode.CLOSED_PIPE)
        return done.code if isinstance(done.code, int) else 0
    except BaseException as error:  # noqa: BLE001  # the one place where everything is caught
        # an import, for example, may turn a KeyboardInterrupt into another error
        known = KeyboardInterrupt() if interrupt.came else error
        return failed(known, arguments, as_json=error_format.json)
    finally:
        LOG.close()
        interrupt.ignore_from_now()

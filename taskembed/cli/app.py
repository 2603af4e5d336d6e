"""The application: its commands, and how one is run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache as cached
from typing import Annotated, Any

import typer

from taskembed.cli import cache
from taskembed.cli._boundary import failed
from taskembed.cli._command import Command, ErrorFormat, Group
from taskembed.cli._help import MAX_WIDTH
from taskembed.cli._interrupt import Interrupt
from taskembed.cli._log import LOG
from taskembed.cli._output import write
from taskembed.cli.ablate import ablate_command
from taskembed.cli.classify import classify_command
from taskembed.cli.compact import compact_command
from taskembed.cli.compare import compare_command
from taskembed.cli.count import count_command
from taskembed.cli.dedup import dedup_command
from taskembed.cli.delete import delete_command
from taskembed.cli.distill import distill_command
from taskembed.cli.evaluate import evaluate_command
from taskembed.cli.explain import explain_command
from taskembed.cli.get import get_command
from taskembed.cli.index import index_command
from taskembed.cli.info import info_command
from taskembed.cli.list import list_command
from taskembed.cli.models import models_command
from taskembed.cli.search import search_command
from taskembed.cli.similar import similar_command
from taskembed.cli.train import train_command
from taskembed.cli.tune import tune_command
from taskembed.cli.verify import verify_command
from taskembed.errors import (
    ExitCode,
)
from taskembed.version import __version__

ENVIRONMENT = """\
Environment variables: TASKEMBED_INDEX, _TASK, _MODEL, _API_BASE, _DEVICE, _PRECISION, _THREADS,
_OFFLINE, _CACHE, _QUIET and _JSON are the defaults of these options; TASKEMBED_API_KEY is the key
for --api-base. ~/.config/taskembed/config.toml, or TASKEMBED_CONFIG, can have the same defaults,
and names for indexes. docs/environment.md says more."""
EXIT_CODES = """\
Exit codes: 0 done; 1 done, some records rejected; 2 usage; 65 bad input; 66 no such input or index;
69 model not available; 70 bug; 74 disk full or failing; 75 another writer; 76 index damaged; 77 not
permitted; 78 another embedding space; 130, 143 stopped; 141 closed pipe."""

app = typer.Typer(
    name="taskembed",
    cls=Group,
    invoke_without_command=True,
    epilog=f"{ENVIRONMENT}\n\n{EXIT_CODES}",
    rich_markup_mode=None,  # rich costs 0.06 s at start-up
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MAX_WIDTH},
)
_COMMANDS: dict[str, dict[str, Callable[..., int]]] = {
    "Index and search": {
        "index": index_command,
        "search": search_command,
        "similar": similar_command,
        "dedup": dedup_command,
        "classify": classify_command,
        "get": get_command,
        "list": list_command,
        "count": count_command,
        "delete": delete_command,
        "compact": compact_command,
        "tune": tune_command,
        "info": info_command,
        "verify": verify_command,
    },
    "Models": {"models": models_command, "explain": explain_command},
    "Evaluation": {
        "evaluate": evaluate_command,
        "ablate": ablate_command,
        "compare": compare_command,
    },
    "Training": {"train": train_command, "distill": distill_command},
}
for _heading, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        # more words than one are a query without quotes: `Command` reports that
        _settings = {"allow_extra_args": _name == "search"}
        app.command(_name, cls=Command, rich_help_panel=_heading, context_settings=_settings)(
            _command
        )
app.add_typer(cache.app, name="cache", rich_help_panel="Models")


def _print_version(value: bool) -> None:  # typer's signature
    if value:
        write(f"taskembed {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Batch indexing and search with task-aware embeddings.

    An index holds vectors of one embedding space: a model, a task, its prompts. The space is saved
    with it, and a query from any other space is refused.

    Example:
        taskembed index corpus.jsonl --task retrieval
        taskembed search "why is the sky blue?"
    """
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")
        raise typer.Exit(ExitCode.USAGE)


@cached
def _group() -> Any:  # noqa: ANN401  # typer's TyperGroup
    """Return what typer makes of the application: all commands with their options.

    It is made once, for programs that run several commands: it takes 0.03 s.
    """
    return typer.main.get_command(app)


def run(arguments: Sequence[str], *, interrupt: Interrupt | None = None) -> int:
    """Run a command and return its exit code; every exception becomes a message.

    Args:
        arguments: of the command; `help COMMAND` is `COMMAND --help`.
        interrupt: what Ctrl-C does, if the process runs nothing but the command.
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
        code = _group()(arguments, prog_name="taskembed", standalone_mode=False, obj=error_format)
        write("")  # a full disk behind stdout is noticed here
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

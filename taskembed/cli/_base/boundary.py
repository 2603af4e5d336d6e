"""The error boundary: any exception becomes a message, and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from taskembed.cli.options.environment import DEBUG
from taskembed.cli.options.wording import usage_error
from taskembed.cli.printing.output import ClosedPipeError, report
from taskembed.errors import ExitCode, StoppedError, StorageError, TaskembedError, from_os_error


def failed(error: BaseException, arguments: Sequence[str], *, as_json: bool) -> int:
    """Print an exception as an error message, and return its exit code.

    Args:
        error: any exception.
        arguments: the arguments of the command; secrets in them are masked.
        as_json: print JSON.
    """
    from taskembed.secrets import redacted, secrets_of

    secrets = secrets_of(arguments, os.environ)
    if os.environ.get(DEBUG) == "1":
        import traceback

        trace = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError, ValueError):  # stderr is closed
            sys.stderr.write(redacted(trace, secrets))
    known = _known(error, arguments)
    known.message = redacted(known.message, secrets)
    known.hint = redacted(known.hint, secrets) if known.hint else None
    if known.exit_code is not ExitCode.CLOSED_PIPE:
        report(known, as_json=as_json)
    return int(known.exit_code)


def _known(error: BaseException, arguments: Sequence[str]) -> TaskembedError:
    """Return any exception as one of our errors."""
    match error:
        case TaskembedError():
            return error
        case TyperException():
            return usage_error(error, arguments)
        case KeyboardInterrupt() | typer.Abort():
            return StoppedError("stopped by SIGINT", signal_number=2)
        case OSError():
            return _of_system(error)
        case MemoryError():
            return StorageError("out of memory", hint="committed documents are safe; try again")
    return TaskembedError(
        f"this is a bug: {type(error).__name__}: {error}",
        hint="please report it, with the traceback that TASKEMBED_DEBUG=1 prints. Committed "
        "documents are safe",
    )


def _of_system(error: OSError) -> TaskembedError:
    if isinstance(error, BrokenPipeError):
        return ClosedPipeError("the output was closed")
    # `filename` may be a file descriptor, which means nothing to a user
    return from_os_error(error, error.filename if isinstance(error.filename, str) else "the output")

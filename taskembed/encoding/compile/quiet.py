"""Loading within limits: what a library logs, prints and raises becomes an error of ours."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator

from taskembed.errors import (
    ModelUnavailableError,
    TaskembedError,
    first_line,
    from_library,
    is_panic,
)


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Load within it: what a model's files make a library raise becomes an error of ours.

    A weight that the files do not have is such an error too: a library would go on with random
    numbers in its place.
    """
    report = _MissingWeights()
    logger = logging.getLogger("transformers")
    logger.addHandler(report)
    try:
        with quiet(logging.INFO):
            yield
    except BaseException as error:  # whatever a model's files make a library raise
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        what = f"the model {name!r} cannot be loaded"
        if report.misfits and not isinstance(error, TaskembedError):
            raise ModelUnavailableError(
                f"{what}: its weights {report.misfits[0]} have another size than config.json says",
                hint="the download is not whole, or the files are not of this architecture",
            ) from error
        raise from_library(error, what, hint=_hint(first_line(error))) from error
    finally:
        logger.removeHandler(report)
    if report.missing:
        raise ModelUnavailableError(
            f"the model {name!r} cannot be loaded: its files have no weights for "
            f"{report.missing[0]} ({len(report.missing)} are missing)",
            hint="the download is not whole, or the files are not of this architecture",
        )


def _hint(reason: str) -> str:
    if "trust_remote_code" in reason:
        return (
            "it needs Python code of its own: read that code, then give --trust-remote-code and "
            "--revision COMMIT; or name another model"
        )
    return "download it again, or name another model with --model: a file is damaged, or not known"


class _MissingWeights(logging.Handler):
    """Reads the report that transformers logs after loading."""

    _ROW = re.compile(r"^(\S.*?)\s*\|\s*(?:\x1b\[[0-9;]*m)*(MISSING|MISMATCH)", re.MULTILINE)

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []
        self.misfits: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = self._ROW.findall(record.getMessage())
        # a pooler is BERT's own, for its pre-training: no embedding goes through it
        self.missing += [key for key, _ in found if not key.startswith("pooler.")]
        self.misfits += [key for key, what in found if what == "MISMATCH"]


@contextlib.contextmanager
def quiet(below: int = logging.ERROR) -> Iterator[None]:
    """Keep libraries offline, and from writing on our stdout and warning about what we know.

    Every file is on this machine by now, so nothing within may ask a server for anything.

    Args:
        below: suppress log records up to this level; send the rest to our handlers only.
    """
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not ours
    transformers_logging.disable_default_handler()
    transformers_logging.disable_propagation()
    previous, was_offline = logging.root.manager.disable, constants.HF_HUB_OFFLINE
    logging.disable(below)
    constants.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        constants.HF_HUB_OFFLINE = was_offline

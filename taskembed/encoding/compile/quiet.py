"""Suppresses output, warnings and network access of libraries."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from using the network, writing to stdout, and printing known warnings.

    All files are on this machine when this is used, so no request to a server is needed.
    """
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not ours
    transformers_logging.disable_default_handler()
    transformers_logging.disable_propagation()
    previous, was_offline = logging.root.manager.disable, constants.HF_HUB_OFFLINE
    logging.disable(logging.ERROR)
    constants.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        constants.HF_HUB_OFFLINE = was_offline

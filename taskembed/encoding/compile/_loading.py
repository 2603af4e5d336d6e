"""Loads a model with its library, and turns errors and missing weights into TaskembedErrors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from transformers.utils.loading_report import LoadStateDictInfo

from taskembed.encoding.compile.quiet import quiet
from taskembed.errors import ModelUnavailableError, TaskembedError, from_library, is_panic
from taskembed.models.files import Located
from taskembed.models.stock_views import refers_to_code

_NOT_WHOLE = "the download is incomplete, or the files belong to another architecture"
_DAMAGED = (
    "a file is damaged or not supported: download it again, or name another model with --model"
)
_NEEDS_CODE = (
    "it needs its own Python code: read that code, then give --trust-remote-code and "
    "--revision COMMIT; or name another model"
)


@contextlib.contextmanager
def loading(files: Located, *, trust_remote_code: bool) -> Iterator[None]:
    """Translate a library's errors about a model's files while the model is loaded in the context.

    A missing weight is an error too; a library would continue with random numbers in its place.

    Args:
        files: the files of the model.
        trust_remote_code: whether the model's own Python code may run.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or lacks weights.
    """
    what = f"the model {files.name!r} cannot be loaded"
    with _weights_reports() as reports:
        try:
            with quiet():
                yield
        except BaseException as error:  # libraries raise many types for unusual files
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            misfits = sorted(key for report in reports for key, *_ in report.mismatched_keys)
            if misfits and not isinstance(error, TaskembedError):
                raise ModelUnavailableError(
                    f"its weights {misfits[0]} do not have the size in config.json",
                    what=what,
                    hint=_NOT_WHOLE,
                ) from error
            # transformers and sentence-transformers refuse code of a model by a ValueError
            asks_for_code = isinstance(error, ValueError) and not trust_remote_code
            needs_code = asks_for_code and refers_to_code(files.folder)
            raise from_library(error, what, hint=_NEEDS_CODE if needs_code else _DAMAGED) from error
    missing = sorted(key for report in reports for key in report.missing_keys if _is_read(key))
    if missing:
        raise ModelUnavailableError(
            f"its files lack the weights {missing[0]} ({len(missing)} are missing)",
            what=what,
            hint=_NOT_WHOLE,
        )


def _is_read(key: str) -> bool:
    """Return whether a weight is used to embed; BERT's pooler is only for its pre-training."""
    return not key.startswith("pooler.")


@contextlib.contextmanager
def _weights_reports() -> Iterator[list[LoadStateDictInfo]]:
    """Collect the reports of transformers about the weights of the models that it loads.

    transformers returns a report only if called with `output_loading_info`, which
    sentence-transformers does not do.
    """
    reports: list[LoadStateDictInfo] = []
    create = LoadStateDictInfo.create_loading_report

    def collect(report: LoadStateDictInfo, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # transformers'
        reports.append(report)
        return create(report, *args, **options)

    with patch.object(LoadStateDictInfo, "create_loading_report", collect):
        yield reports

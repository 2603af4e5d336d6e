"""Loading a model by its library: what goes wrong or is missing becomes an error of ours."""

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

_NOT_WHOLE = "the download is not whole, or the files are not of this architecture"
_DAMAGED = "download it again, or name another model with --model: a file is damaged, or not known"
_NEEDS_CODE = (
    "it needs Python code of its own: read that code, then give --trust-remote-code and "
    "--revision COMMIT; or name another model"
)


@contextlib.contextmanager
def loading(files: Located, *, trust_remote_code: bool) -> Iterator[None]:
    """Translate a library's errors about a model's files while the model is loaded in the context.

    A weight that the files do not have is an error too: a library would continue with random
    numbers in its place.

    Args:
        files: the model's.
        trust_remote_code: whether the model's own Python code may run.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or not whole.
    """
    what = f"the model {files.name!r} cannot be loaded"
    with _weights_reports() as reports:
        try:
            with quiet():
                yield
        except BaseException as error:  # whatever a model's files make a library raise
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            misfits = sorted(key for report in reports for key, *_ in report.mismatched_keys)
            if misfits and not isinstance(error, TaskembedError):
                raise ModelUnavailableError(
                    f"its weights {misfits[0]} have another size than config.json says",
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
            f"its files have no weights for {missing[0]} ({len(missing)} are missing)",
            what=what,
            hint=_NOT_WHOLE,
        )


def _is_read(key: str) -> bool:
    """Tell whether an embedding goes through a weight: a pooler is for BERT's pre-training."""
    return not key.startswith("pooler.")


@contextlib.contextmanager
def _weights_reports() -> Iterator[list[LoadStateDictInfo]]:
    """Collect what transformers finds out about the weights of each model that it loads within.

    transformers returns that only to a caller that asks (`output_loading_info`), and
    sentence-transformers does not ask.
    """
    reports: list[LoadStateDictInfo] = []
    create = LoadStateDictInfo.create_loading_report

    def collect(report: LoadStateDictInfo, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # transformers'
        reports.append(report)
        return create(report, *args, **options)

    with patch.object(LoadStateDictInfo, "create_loading_report", collect):
        yield reports

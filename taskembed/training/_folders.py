"""The two folders of a training run: that of the adapter, and a hidden one for checkpoints.

OUTPUT/retrieval/           the complete adapter; appears when the training is finished
OUTPUT/.retrieval-work/     checkpoints, and a digest of what they were made from
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import UsageError, os_errors
from taskembed.models.adapters import CONFIG

CARD = "README.md"
STAMP = "made-from"  # a file beside checkpoints; a line in the card of a finished adapter
# checkpoints without the stamp: a removal of the folder was interrupted
_CHECKPOINTS = re.compile(r"checkpoint-\d+|adapter")
_OTHER_OUTPUT = "remove it, or give another --output"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of an adapter.

    Attributes:
        adapter: the folder that appears when the training is finished.
    """

    adapter: Path

    @classmethod
    def of(cls, output: Path, name: str) -> Folders:
        """Return the folders of the adapter `name` in `output`; a link is followed."""
        folder = output / name
        return cls(folder.resolve() if folder.is_symlink() else folder)

    @property
    def work(self) -> Path:
        """The hidden folder with the checkpoints."""
        return self.adapter.parent / f".{self.adapter.name}-work"

    @property
    def unpublished(self) -> Path:
        """The adapter, until it is complete."""
        return self.work / "adapter"

    def has_adapter(self, made_from: str) -> bool:
        """Return whether the finished adapter exists, made from the same inputs.

        Args:
            made_from: digest of recipe, examples and base.

        Raises:
            UsageError: the folder contains another adapter, or other files.
        """
        names = _names(self.adapter)
        if not names:
            return False
        if CONFIG not in names:
            raise UsageError(f"{self.adapter} contains other files", hint=_OTHER_OUTPUT)
        if _stamp_of(self.adapter / CARD) != made_from:
            raise UsageError(
                f"{self.adapter} contains an adapter that was made from other inputs",
                hint=_OTHER_OUTPUT,
            )
        return True

    def begin(self, made_from: str, notify: Callable[[str], None]) -> None:
        """Make the folder of checkpoints; remove checkpoints that were made from something else.

        Args:
            made_from: digest of recipe, examples and base.
            notify: called with a sentence if there are checkpoints.

        Raises:
            UsageError: the folder contains files other than checkpoints.
        """
        names = _names(self.work)
        stamp = self.work / STAMP
        if STAMP not in names and not all(map(_CHECKPOINTS.fullmatch, names)):
            raise UsageError(
                f"{self.work} contains files other than checkpoints", hint=_OTHER_OUTPUT
            )
        with os_errors(self.work):
            if names and not (STAMP in names and stamp.read_text() == made_from):
                notify(
                    "starting again: the recipe, its data or its base has changed since the "
                    f"checkpoints in {self.work}"
                )
                shutil.rmtree(self.work)
            elif names:
                notify(f"continuing from the last checkpoint in {self.work}")
            self.work.mkdir(parents=True, exist_ok=True)
            stamp.write_text(made_from)

    def publish(self) -> None:
        """Move the finished adapter to its place in one step, and remove the checkpoints.

        Raises:
            StorageError: the adapter's folder cannot be made.
        """
        with os_errors(self.adapter):
            self.unpublished.rename(self.adapter)
        shutil.rmtree(self.work, ignore_errors=True)


def _names(folder: Path) -> set[str]:
    with os_errors(folder):
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _stamp_of(card: Path) -> str:
    """Return the digest in a card of what its adapter was made from; "" if there is none."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.split()[-1] for line in lines if line.startswith(f"{STAMP}: ")), "")

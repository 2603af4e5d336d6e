"""The options of `taskembed dedup`: which duplicates are found, and what is done with them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.errors import UsageError
from taskembed.verbs.defaults import DEDUP_THRESHOLD

if TYPE_CHECKING:
    from taskembed.verbs.deduplicating.duplicates import Keep

SAMPLED_PAIRS = 5  # sample pairs in each band of similarity, shown on a terminal


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """Which documents are duplicates, and which of them is kept."""

    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="COSINE",
            rich_help_panel=opt.Panel.RANKING,
            help="The lowest cosine of near duplicates.  [default: 0.95; on a terminal, sample "
            "pairs are shown instead]",
        ),
    ] = None
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RANKING,
            help="Show N sample pairs in each band of similarity, to choose a threshold.",
        ),
    ] = None
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="WHICH",
            rich_help_panel=opt.Panel.RANKING,
            help="Which of several duplicates is kept: first, longest or newest:FIELD.  "
            "[default: first]",
        ),
    ] = None
    groups: Annotated[
        bool,
        typer.Option(
            "--groups",
            rich_help_panel=opt.Panel.RANKING,
            help="Print groups of connected documents instead of each duplicate.",
        ),
    ] = False

    def which(self) -> Keep:
        """Return which of several duplicates is kept.

        Raises:
            UsageError: the rule is not known.
        """
        from taskembed.verbs.deduplicating.duplicates import Keep

        return Keep.parse(self.keep or "first")


@dataclass(frozen=True, slots=True)
class ActionOptions:
    """What is done with the duplicates."""

    output: Annotated[
        Path | None,
        opt.output_option(
            "Write the documents without duplicates to this file: JSONL, with all fields."
        ),
    ] = None
    apply: Annotated[
        bool,
        typer.Option(
            "--apply",
            rich_help_panel=opt.Panel.INDEX,
            help="Delete the duplicates from the index, in one commit.",
        ),
    ] = False
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", rich_help_panel=opt.Panel.INDEX, help="With --apply, delete without asking."
        ),
    ] = False
    wait: opt.Wait = 0

    def check(self) -> None:
        """Check that --apply can ask for confirmation, or --yes is given.

        Raises:
            UsageError: --yes is given alone, or there is no terminal to ask on.
        """
        if self.yes and not self.apply:
            raise UsageError("--yes requires --apply")
        if self.apply and not self.yes and not sys.stdin.isatty():
            raise UsageError(
                "without a terminal to confirm on, --apply needs --yes",
                hint="to see the duplicates first, leave out --apply",
            )


def chosen_threshold(found: DuplicateOptions, action: ActionOptions, *, new: bool) -> float | None:
    """Return the lowest cosine of near duplicates; None if sample pairs are shown instead.

    Args:
        found: which documents are duplicates.
        action: what is done with them.
        new: whether new records are compared with an index.

    Raises:
        UsageError: options conflict, or the threshold is not a cosine.
    """
    if found.sample is not None and (found.threshold is not None or action.apply or action.output):
        raise UsageError("--sample only shows pairs, so options for duplicates cannot be used")
    if new and (found.sample or found.keep or found.groups or action.apply):
        raise UsageError("--sample, --keep, --groups and --apply cannot be combined with INPUT")
    if found.threshold is not None:
        if not 0 < found.threshold <= 1:
            raise UsageError(
                f"--threshold {found.threshold:g} is not a cosine above 0 and at most 1"
            )
        return found.threshold
    if found.sample is not None:
        return None
    if new or not sys.stdout.isatty():
        return DEDUP_THRESHOLD
    if action.apply or action.output:
        raise UsageError(
            "--apply and --output need --threshold",
            hint="`taskembed dedup` shows sample pairs to choose a threshold by",
        )
    return None

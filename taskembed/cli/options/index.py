"""The options of `taskembed index`, in groups: the space, the run, the storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.options.groups import ModelOptions
from taskembed.errors import UsageError
from taskembed.index.storage import IndexType, VectorType
from taskembed.verbs.defaults import COMMIT_EVERY, OnDuplicate

if TYPE_CHECKING:
    from taskembed.index.remembered import Reading
    from taskembed.verbs.options import IndexOptions, SpaceRequest


@dataclass(frozen=True, slots=True)
class SpaceOptions:
    """Requirements for the space of a new index, besides model and prompts."""

    no_adapter: opt.NoAdapter = False
    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.MODEL,
            help="Shorten vectors to N dimensions, a size that the model was trained for.  "
            "[default: full]",
        ),
    ] = None
    force_dim: Annotated[
        bool,
        typer.Option(
            "--force-dim",
            rich_help_panel=opt.Panel.MODEL,
            help="Allow a --dim that the model was not trained for.",
        ),
    ] = False
    trust_remote_code: opt.TrustRemoteCode = False
    api_base: opt.ApiBase = None

    def request(self, model: ModelOptions) -> SpaceRequest:
        """Return the requirements for the space.

        Args:
            model: the options of the model.

        Raises:
            UsageError: an adapter and --no-adapter were given; the prompts file is not valid.
            NotFoundError: there is no such prompts file.
        """
        from taskembed.verbs.options import SpaceRequest

        return SpaceRequest(
            model=model.model,
            task=model.tasks[0] if model.tasks else None,
            further=tuple(model.tasks[1:]),
            revision=model.revision,
            stated=model.stated(no_adapter=self.no_adapter),
            dim=self.dim,
            force_dim=self.force_dim,
        )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the index is written."""

    commit_every: Annotated[
        int,
        typer.Option(
            "--commit-every",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.INDEX,
            help="Commit after this many documents; a run also commits every minute.",
        ),
    ] = COMMIT_EVERY
    on_duplicate: Annotated[
        OnDuplicate | None,
        typer.Option(
            "--on-duplicate",
            rich_help_panel=opt.Panel.INDEX,
            help="Which of two documents with the same id to keep.  [default: last]",
        ),
    ] = None
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            rich_help_panel=opt.Panel.INDEX,
            help="Delete documents that are no longer in the input.",
        ),
    ] = False
    prune_limit: Annotated[
        float,
        typer.Option(
            "--prune-limit",
            min=0,
            max=100,
            metavar="PERCENT",
            rich_help_panel=opt.Panel.INDEX,
            help="Stop if --prune would delete a larger share of the documents.",
        ),
    ] = 20
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            rich_help_panel=opt.Panel.INDEX,
            help="Let --prune delete any number of documents.",
        ),
    ] = False
    index_type: Annotated[
        IndexType | None,
        typer.Option(
            "--index-type",
            rich_help_panel=opt.Panel.STORAGE,
            help="How new segments are searched: exactly (flat) or by one-bit codes first "
            "(rabitq); auto uses rabitq from 50,000 documents on.  [default: auto]",
        ),
    ] = None
    vectors: Annotated[
        VectorType | None,
        typer.Option(
            "--vectors",
            rich_help_panel=opt.Panel.STORAGE,
            help="How new vectors are stored; fp16 takes half the space.  [default: fp32]",
        ),
    ] = None
    dry_run: opt.DryRun = False
    recreate: opt.Recreate = False
    wait: opt.Wait = 0

    def options(
        self,
        reading: Reading,
        words: str | None,
        *,
        chunk: str | None,
        fail_on_truncate: bool,
    ) -> IndexOptions:
        """Return how to index.

        Args:
            reading: how the input is read, which the index remembers.
            words: the language of the words to store; "" for none; None for the index's setting.
            chunk: how documents are cut into chunks; None for the index's rule.
            fail_on_truncate: a document that the model cannot read whole is a bad record.
        """
        from taskembed.verbs.defaults import OnDuplicate
        from taskembed.verbs.options import IndexOptions

        return IndexOptions(
            commit_every=self.commit_every,
            on_duplicate=OnDuplicate(reading.on_duplicate or "last"),
            prune=self.prune,
            prune_limit=100 if self.yes else self.prune_limit,
            recreate=self.recreate,
            fail_on_truncate=fail_on_truncate,
            wait_seconds=self.wait,
            reading=reading,
            index_type=self.index_type,
            vectors=self.vectors,
            words=words,
            chunk=chunk,
        )


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How the index is stored; the index remembers these settings."""

    label_field: Annotated[
        str | None,
        typer.Option(
            "--label-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field with the label, or a list of labels, for `taskembed classify`.",
        ),
    ] = None
    words: Annotated[
        bool | None,
        typer.Option(
            "--words/--no-words",
            rich_help_panel=opt.Panel.STORAGE,
            help="Whether to store the words of the texts, for hybrid search.  "
            "[default: for retrieval and code]",
        ),
    ] = None
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="NAME",
            rich_help_panel=opt.Panel.STORAGE,
            help="The language for stemming; none means no stemming.  [default: english]",
        ),
    ] = None

    chunk: Annotated[
        str | None,
        typer.Option(
            "--chunk",
            metavar="auto|TOKENS[:OVERLAP]|off",
            rich_help_panel=opt.Panel.STORAGE,
            help="Cut documents into chunks of this many tokens, each with its own vector, so that "
            "every part of a long document can be found; auto means half of what the model "
            "reads, with an overlap of a fifth.  "
            "[default: off]",
        ),
    ] = None

    def kept_words(self, now: str) -> str | None:
        """Return the language of the words to store; "" for none; None for the index's setting.

        Args:
            now: the name of the index's word tokenizer; "" for none.

        Raises:
            UsageError: there is no stemmer for the language, or words are not to be stored.
        """
        from taskembed.index.word_tokens import DEFAULT_LANGUAGE, require_language

        if self.words is False and self.language is not None:
            raise UsageError("--language requires --words")
        if self.words is False:
            return ""
        if self.language is None:
            return DEFAULT_LANGUAGE if self.words and not now else None
        try:
            require_language(self.language)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return self.language

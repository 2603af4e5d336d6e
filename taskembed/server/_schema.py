"""The description of the tools for the protocol: names, purposes, arguments and their limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Protocol, TypeVar

from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, Field

from taskembed.index.ranking.modes import Mode
from taskembed.server import _limits as limits
from taskembed.server._answers import DocumentAnswer, HitsAnswer, IndexesAnswer, LabelAnswer
from taskembed.server._compact import document_text, hits_text, indexes_text, label_text
from taskembed.server._tools import Tools
from taskembed.space import Task

QUERY_CHARACTERS = 10_000
TEXT_CHARACTERS = 100_000
WHERE_CHARACTERS = 2_000
NAME_CHARACTERS = 300
_DOC_ID_CHARACTERS = 4_000
_LATEST = 10**9  # an offset in a text

# defaults are "" rather than None: the library parses strings as JSON if None is allowed
Query = Annotated[str, Field(min_length=1, max_length=QUERY_CHARACTERS)]
TaskName = Annotated[
    Literal["", "retrieval", "similarity", "classification", "clustering", "code"],
    Field(description="The task that the index must be for; other indexes are refused."),
]
IndexName = Annotated[
    str, Field(max_length=NAME_CHARACTERS, description="Needed if there are several indexes.")
]
Count = Annotated[int, Field(ge=1, le=limits.MOST_K)]
Where = Annotated[
    str,
    Field(
        max_length=WHERE_CHARACTERS,
        description="A filter: year >= 2020 and lang in ('de', 'fr').",
    ),
]
ModeName = Annotated[
    Literal["", "dense", "words", "hybrid"],
    Field(description="By meaning, by words, or both. Default: both if the index stores words."),
]
HitCharacters = Annotated[
    int,
    Field(ge=50, le=limits.MOST_HIT_CHARACTERS, description="Characters of the text of each hit."),
]
HitOffset = Annotated[
    int, Field(ge=0, le=limits.MOST_OFFSET, description="next_offset of the previous result.")
]
DocumentId = Annotated[str, Field(max_length=_DOC_ID_CHARACTERS)]
Text = Annotated[str, Field(max_length=TEXT_CHARACTERS)]
TextOffset = Annotated[
    int, Field(ge=0, le=_LATEST, description="In characters: next_offset, or the start of a hit.")
]
PageCharacters = Annotated[int, Field(ge=100, le=limits.MOST_PAGE_CHARACTERS)]
IndexOffset = Annotated[int, Field(ge=0, le=_LATEST)]

HitsResult = Annotated[CallToolResult, HitsAnswer]
LabelResult = Annotated[CallToolResult, LabelAnswer]
DocumentResult = Annotated[CallToolResult, DocumentAnswer]
IndexesResult = Annotated[CallToolResult, IndexesAnswer]

_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


class Answered(Protocol):
    """Runs a request, and converts its result or exception for the protocol."""

    async def __call__(
        self, work: Callable[[], _AnswerT], as_text: Callable[[_AnswerT], str], /
    ) -> CallToolResult:
        """Return the result as text and as JSON."""


def tools_of(tools: Tools, answered: Answered) -> list[Tool]:
    """Return the tools of a server.

    Args:
        tools: the implementation of the tools.
        answered: runs a request.
    """
    calls = _Calls(tools, answered)
    functions = (calls.search, calls.similar, calls.classify, calls.get, calls.indexes)
    return [_strict(function) for function in functions]


@dataclass(frozen=True)
class _Calls:
    """The tools as agents see them: names, arguments and descriptions."""

    tools: Tools
    answered: Answered

    async def search(  # noqa: PLR0913, PLR0917  # the arguments of the tool
        self,
        query: Query,
        task: TaskName = "",
        index: IndexName = "",
        k: Count = limits.DEFAULT_K,
        where: Where = "",
        mode: ModeName = "",
        max_chars: HitCharacters = limits.HIT_CHARACTERS,
        offset: HitOffset = 0,
    ) -> HitsResult:
        """Find the documents that answer a question or match a description, best first."""
        work = partial(
            self.tools.search,
            query,
            task=Task(task) if task else None,
            index=index or None,
            k=k,
            where=where or None,
            mode=Mode(mode) if mode else None,
            max_chars=max_chars,
            offset=offset,
        )
        return await self.answered(work, hits_text)

    async def similar(  # noqa: PLR0913, PLR0917  # the arguments of the tool
        self,
        doc_id: DocumentId = "",
        text: Text = "",
        index: IndexName = "",
        k: Count = limits.DEFAULT_K,
        where: Where = "",
        max_chars: HitCharacters = limits.HIT_CHARACTERS,
        offset: HitOffset = 0,
    ) -> HitsResult:
        """Find documents similar to one in the index (doc_id), or to a text."""
        work = partial(
            self.tools.similar,
            doc_id=doc_id or None,
            text=text or None,
            index=index or None,
            k=k,
            where=where or None,
            max_chars=max_chars,
            offset=offset,
        )
        return await self.answered(work, hits_text)

    async def classify(self, text: Text, index: IndexName = "") -> LabelResult:
        """Predict the label of a text from the labelled documents in an index."""
        return await self.answered(
            partial(self.tools.classify, text, index=index or None), label_text
        )

    async def get(
        self,
        doc_id: DocumentId,
        offset: TextOffset = 0,
        index: IndexName = "",
        max_chars: PageCharacters = limits.PAGE_CHARACTERS,
    ) -> DocumentResult:
        """Read a document by its id, starting at an offset in its text."""
        work = partial(
            self.tools.get, doc_id, index=index or None, offset=offset, max_chars=max_chars
        )
        return await self.answered(work, document_text)

    async def indexes(self, offset: IndexOffset = 0) -> IndexesResult:
        """List the indexes: task, size, and the fields that can be used in `where`."""
        return await self.answered(partial(self.tools.list_indexes, offset=offset), indexes_text)


def _strict(function: Callable[..., Any]) -> Tool:
    """Return a tool that is marked as read-only and refuses unknown arguments."""
    only_reads = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    tool = Tool.from_function(function, annotations=only_reads)
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = arguments.model_json_schema(by_alias=True)
    return tool

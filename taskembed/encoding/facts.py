"""Facts about a loaded model, which are kept with its compiled form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from taskembed.encoding._chat import Chat
from taskembed.space import PromptType

MEAN, UNIT_MEAN = "mean", "unit mean"


class Kind(Enum):
    """What a model is loaded as."""

    ENCODER = "encoder"
    RERANKER = "reranker"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a loaded encoder.

    Attributes:
        dim: numbers in its vector.
        max_length: tokens that it reads, special tokens included.
        pooling: "mean", "cls", "lasttoken", ...
        prompt_in_pooling: whether the prompt's tokens are pooled.
        fallback: why this model runs on torch; "" when it does not have to.
        fp16_overflows: whether fp16 cannot hold its activations.
        query_length: tokens that are read of a query; 0 for max_length.
        document_length: tokens that are read of a document; 0 for max_length.
        special_tokens: whether the tokenizer's special tokens stand around a text.
        cut_left: whether a long text loses its beginning, and not its end.
        query_chat: the template that a query is put into; None for none.
        document_chat: the template that a document is put into; None for none.
        table: of static embeddings, whose blob is a table of token vectors: "mean", or "unit mean"
            where the mean is brought to unit length; "" for a model that has to be run.
        quantized: how a model was brought to int8, and what that changes; "" for one that was not.
    """

    dim: int
    max_length: int
    pooling: str
    prompt_in_pooling: bool
    fallback: str = ""
    fp16_overflows: bool = False
    query_length: int = 0
    document_length: int = 0
    special_tokens: bool = True
    cut_left: bool = False
    query_chat: Chat | None = None
    document_chat: Chat | None = None
    table: str = ""
    quantized: str = ""

    def chat(self, prompt_type: PromptType) -> Chat | None:
        """Return the template that a text of a side is put into."""
        return self.query_chat if prompt_type is PromptType.QUERY else self.document_chat

    def length(self, prompt_type: PromptType) -> int:
        """Return the tokens that are read of a text of a side, special tokens included."""
        is_query = prompt_type is PromptType.QUERY
        return (self.query_length if is_query else self.document_length) or self.max_length

    @property
    def width(self) -> int:
        """The numbers that the model computes of a text: those of its vector."""
        return self.dim


@dataclass(frozen=True, slots=True)
class RerankerFacts:
    """Facts about a loaded reranker.

    Attributes:
        max_length: tokens that it reads of query and document, special tokens included.
        fallback: why it runs on torch; "" when it does not have to.
        fp16_overflows: whether fp16 cannot hold its activations.
        takes_types: whether it takes the type of each token, which tells query from document.
        pair: for a model that reads query and document as one text: the strings before the query,
            between the two, and after the document; empty if its tokenizer joins them.
    """

    max_length: int
    fallback: str = ""
    fp16_overflows: bool = False
    takes_types: bool = False
    pair: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The numbers that the model computes of a query and a document: one logit."""
        return 1

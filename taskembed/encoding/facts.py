"""Facts about a loaded model, which are stored with its compiled form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from taskembed.encoding._chat import Chat
from taskembed.space import PromptType

MEAN, UNIT_MEAN = "mean", "unit mean"


class Kind(Enum):
    """The kinds of models."""

    ENCODER = "encoder"
    RERANKER = "reranker"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a loaded encoder.

    Attributes:
        dim: the dimension of its vectors.
        max_length: number of tokens that it reads, special tokens included.
        pooling: "mean", "cls", "lasttoken", ...
        prompt_in_pooling: whether the prompt's tokens are pooled.
        fallback: why the model has to run on torch; "" if it does not.
        fp16_overflows: whether its activations exceed the range of fp16.
        query_length: number of tokens that are read of a query; 0 for max_length.
        document_length: number of tokens that are read of a document; 0 for max_length.
        special_tokens: whether the tokenizer adds special tokens around a text.
        cut_left: whether truncation removes the beginning of a text rather than its end.
        query_chat: the chat template of queries; None for none.
        document_chat: the chat template of documents; None for none.
        table: for static embeddings, whose blob is a table of token vectors: "mean", or "unit
            mean" if the mean is normalised to unit length; "" for any other model.
        quantized: how the model was quantised to int8, and the measured loss; "" if it was not.
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
        """Return the chat template of a side; None for none."""
        return self.query_chat if prompt_type is PromptType.QUERY else self.document_chat

    def length(self, prompt_type: PromptType) -> int:
        """Return the number of tokens read of a text of a side, special tokens included."""
        is_query = prompt_type is PromptType.QUERY
        return (self.query_length if is_query else self.document_length) or self.max_length

    @property
    def width(self) -> int:
        """The number of values that the model computes for a text: its dimension."""
        return self.dim


@dataclass(frozen=True, slots=True)
class RerankerFacts:
    """Facts about a loaded reranker.

    Attributes:
        max_length: number of tokens that it reads of query and document, special tokens included.
        fallback: why the model has to run on torch; "" if it does not.
        fp16_overflows: whether its activations exceed the range of fp16.
        takes_types: whether the type of each token, query or document, is an input of the model.
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
        """The number of values that the model computes for a pair: one logit."""
        return 1

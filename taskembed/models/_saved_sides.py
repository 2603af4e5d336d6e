"""Chooses the prompts of a task among those that are saved in a model's files."""

from __future__ import annotations

import shlex
from collections.abc import Container, Mapping

from taskembed.errors import ModelUnavailableError
from taskembed.models.sides import Side
from taskembed.space import PromptType, Task

# The names under which a model may save its prompts, best first, in the order of MTEB. The prompt
# named by `default_prompt_name` is not used, since it does not belong to a task.
_DOCUMENT_NAMES = ("document", "passage", "corpus")
_SAVED_NAMES: dict[Task, dict[PromptType, tuple[str, ...]]] = {
    Task.RETRIEVAL: {
        PromptType.QUERY: ("Retrieval-query", "Retrieval", "query"),
        PromptType.DOCUMENT: ("Retrieval-document", "Retrieval", *_DOCUMENT_NAMES),
    },
    Task.SIMILARITY: dict.fromkeys(PromptType, ("STS",)),
    Task.CLASSIFICATION: dict.fromkeys(PromptType, ("Classification",)),
    Task.CLUSTERING: dict.fromkeys(PromptType, ("Clustering",)),
    # "CodeRetrieval" alone is the prompt of queries: code is encoded as any other document.
    Task.CODE: {
        PromptType.QUERY: (
            *("CodeRetrieval-query", "CodeRetrieval"),
            *("InstructionRetrieval-query", "InstructionRetrieval"),
        ),
        PromptType.DOCUMENT: (
            *("CodeRetrieval-document", "InstructionRetrieval-document"),
            *("Retrieval-document", *_DOCUMENT_NAMES),
        ),
    },
}
# Subtle: sentence-transformers writes these two prompts, empty, into every model that it saves. So
# empty prompts do not mean that the author wants none.
_ALWAYS_SAVED = ("query", "document")
# For the same reason, its encode_document never uses these names: it finds the empty prompt first.
_HIDDEN_NAMES = ("passage", "corpus")


def saved_sides(
    model: str, task: Task, saved: Mapping[str, str], stated: Container[PromptType]
) -> dict[PromptType, Side]:
    """Return the prompts of a task in a model's files: for both sides, one side, or none.

    Args:
        model: the name of the model, for messages.
        task: the purpose of the vectors.
        saved: the prompts in the model's files, by name.
        stated: the sides whose prompts the user states.

    Raises:
        ModelUnavailableError: the prompt of documents is ambiguous, and none is stated.
    """
    chosen = {}
    for side, names in _SAVED_NAMES[task].items():
        present = [name for name in names if name in saved]
        if present:
            meant = (name for name in present if saved[name] or name not in _ALWAYS_SAVED)
            chosen[side] = next(meant, present[0])
    if all(not saved[name] and name in _ALWAYS_SAVED for name in chosen.values()):
        return {}
    name = chosen.get(PromptType.DOCUMENT, "")
    has_query = PromptType.QUERY in chosen or PromptType.QUERY in stated
    if name in _HIDDEN_NAMES and saved[name] and has_query and PromptType.DOCUMENT not in stated:
        raise _in_doubt(model, name, saved[name])
    return {
        side: Side(saved[name], source=f"the model's own prompt {name!r}")
        for side, name in chosen.items()
    }


def _in_doubt(model: str, name: str, prompt: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model} has saved {prompt!r} as its prompt {name!r}, but sentence-transformers encodes "
        "documents with the prompt 'document', which is empty: it is not clear which is right",
        hint=f"give --document-prompt {shlex.quote(prompt)}, or --document-prompt '' for none, as "
        "the model was trained",
    )

"""Loads rerankers, which compute one logit for a query and a document. Imports torch.

There are two kinds. A cross-encoder has a head with one label. A language model answers with a
token; its score is computed from the logits of "yes" and "no" at the last position.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from taskembed.encoding.compile._facts import FP16_OVERFLOWS, max_length
from taskembed.encoding.compile._loading import loading
from taskembed.encoding.compile.encoders import Loaded
from taskembed.encoding.facts import RerankerFacts
from taskembed.errors import ModelUnavailableError
from taskembed.models.files import Located
from taskembed.models.folder import model_files, walk
from taskembed.models.plausible import require_plausible
from taskembed.models.saved_json import read_saved, require_json

_QUERY, _DOCUMENT = "Qa7Qx", "Dz4Dy"  # placeholders for the texts in a chat template


class PairModel(nn.Module):
    """A cross-encoder; returns the only logit of its head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float[n, 1] for two int64[n, length]."""
        return cast("Tensor", self.model(input_ids=input_ids, attention_mask=attention_mask).logits)


class TypedPairModel(nn.Module):
    """A cross-encoder whose third input is the type of each token: 0 in queries, 1 in documents."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_types: Tensor) -> Tensor:
        """Return float[n, 1] for three int64[n, length]."""
        return cast(
            "Tensor",
            self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_types
            ).logits,
        )


class AnswerModel(nn.Module):
    """A language model; returns logit(yes) - logit(no) after the last token, or logit(yes)."""

    def __init__(self, model: Any, yes: int, no: int | None) -> None:  # noqa: ANN401  # transformers'
        super().__init__()
        self.model = model.model
        head = model.get_output_embeddings()
        rows = head.weight[yes] - (head.weight[no] if no is not None else 0)
        self.direction = nn.Parameter(rows.detach().clone(), requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float[n, 1] for two int64[n, length], padded on the right."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = attention_mask.sum(dim=1) - 1
        index = last.reshape(-1, 1, 1).expand(-1, 1, hidden.shape[2])
        answer = hidden.gather(1, index).squeeze(1) @ self.direction
        return cast("Tensor", answer.unsqueeze(1))


def load_reranker_model(
    files: Located, answers: tuple[str, ...], *, trust_remote_code: bool
) -> Loaded:
    """Load a reranker from its folder.

    Args:
        files: the files of the model.
        answers: the tokens that mean yes and no, for a language model whose files do not name them.
        trust_remote_code: whether to run the model's own Python code.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or is not a reranker.
    """
    config = read_saved(files.folder / "config.json") or {}
    require_json(model_files(walk(files.folder)))
    require_plausible(files.name, files.folder)
    listed = config.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    if architecture.endswith("ForSequenceClassification"):
        return _load_cross_encoder(files, trust_remote_code=trust_remote_code)
    return _load_language_model(files, answers, trust_remote_code=trust_remote_code)


def _load_cross_encoder(files: Located, *, trust_remote_code: bool) -> Loaded:
    with loading(files, trust_remote_code=trust_remote_code):
        tokenizer, model = _tokenizer_and_model(
            AutoModelForSequenceClassification, files, trust_remote_code=trust_remote_code
        )
        _require_one_label(files.name, model.config)
        takes_types = "token_type_ids" in tokenizer.model_input_names
        facts = replace(_facts(files.folder, tokenizer, model), takes_types=takes_types)
        wrapped = TypedPairModel(model) if takes_types else PairModel(model)
        return Loaded(wrapped.eval(), facts, tokenizer.backend_tokenizer.to_str())


def _load_language_model(
    files: Located, answers: tuple[str, ...], *, trust_remote_code: bool
) -> Loaded:
    ids = _answer_ids(files, answers)
    with loading(files, trust_remote_code=trust_remote_code):
        tokenizer, model = _tokenizer_and_model(
            AutoModelForCausalLM, files, trust_remote_code=trust_remote_code
        )
        yes, *no = (_token_id(tokenizer, token) for token in ids)
        pair = () if answers else _rendered(tokenizer, files.name)
        facts = replace(_facts(files.folder, tokenizer, model), pair=pair)
        wrapped = AnswerModel(model, yes, no[0] if no else None)
        return Loaded(wrapped.eval(), facts, tokenizer.backend_tokenizer.to_str())


def _tokenizer_and_model(
    auto: Any,  # noqa: ANN401  # a class of transformers
    files: Located,
    *,
    trust_remote_code: bool,
) -> tuple[Any, Any]:
    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(str(files.folder), **options)
    model = auto.from_pretrained(
        str(files.folder), use_safetensors=True, dtype=torch.float32, **options
    )
    return tokenizer, model.eval()


def _facts(folder: Path, tokenizer: Any, model: Any) -> RerankerFacts:  # noqa: ANN401  # transformers' own
    return RerankerFacts(
        max_length=_limit(folder, tokenizer, model),
        fp16_overflows=model.config.model_type in FP16_OVERFLOWS,
    )


def _require_one_label(name: str, config: Any) -> None:  # noqa: ANN401  # transformers' own
    if config.num_labels != 1:
        raise ModelUnavailableError(
            f"{name} has {config.num_labels} labels: it is a classifier, not a reranker",
            hint="a reranker has one label: name another model with --rerank",
        )


def _token_id(tokenizer: Any, token: int | str) -> int:  # noqa: ANN401  # transformers' own
    return token if isinstance(token, int) else int(tokenizer.convert_tokens_to_ids(token))


def _answer_ids(files: Located, answers: tuple[str, ...]) -> tuple[int | str, ...]:
    """Return the tokens that mean yes and no: the given ones, or those in the model's files."""
    if answers:
        return answers
    for path in sorted(files.folder.glob("*_LogitScore/config.json")):
        config = read_saved(path) or {}
        yes, no = config.get("true_token_id"), config.get("false_token_id")
        if isinstance(yes, int):
            return (yes, no) if isinstance(no, int) else (yes,)
    raise ModelUnavailableError(
        f"{files.name} is not a supported reranker: it has no head with one label, and does not "
        "say which tokens are its answers",
        hint="`taskembed models` lists the rerankers",
    )


def _rendered(tokenizer: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401  # transformers' own
    """Return the strings of the chat template before, between and after query and document."""
    messages = [
        {"role": "query", "content": _QUERY},
        {"role": "document", "content": _DOCUMENT},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, found, rest = text.partition(_QUERY)
    between, also_found, after = rest.partition(_DOCUMENT)
    if not (found and also_found) or _QUERY in rest or _DOCUMENT in after:
        raise ModelUnavailableError(
            f"the chat template of {name} does not contain the query and then the document once",
            hint="name another reranker",
        )
    return before, between, after


def _limit(folder: Path, tokenizer: Any, model: nn.Module) -> int:  # noqa: ANN401  # transformers' own
    saved = (read_saved(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    limits = [tokenizer.model_max_length, saved, max_length(None, model)]
    return min(int(limit) for limit in limits if isinstance(limit, int) and limit > 0)

"""Loading a reranker: query and document in, one logit out. Importing this module imports torch.

Two kinds are in use. A cross-encoder has a head with one label. A language model answers with a
token, and the logits of "yes" and "no" at its last position are its score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from taskembed.encoding.cache import ModelFacts
from taskembed.encoding.compile._facts import FP16_OVERFLOWS, max_length
from taskembed.encoding.compile._loading import loading
from taskembed.encoding.compile.encoders import Loaded
from taskembed.errors import ModelUnavailableError
from taskembed.models.files import Located
from taskembed.models.folder import model_files, walk
from taskembed.models.plausible import require_plausible
from taskembed.models.saved_json import read_saved, require_json

_QUERY, _DOCUMENT = "Qa7Qx", "Dz4Dy"  # stand in a chat template where the texts will


class PairModel(nn.Module):
    """A cross-encoder: its head's only logit."""

    def __init__(self, model: nn.Module, *, takes_types: bool) -> None:
        super().__init__()
        self.model = model
        self.takes_types = takes_types

    def forward(self, input_ids: Tensor, attention_mask: Tensor, types: Tensor) -> Tensor:
        """Return float[n, 1] for three int64[n, length]."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.takes_types:
            inputs["token_type_ids"] = types
        # zero times the types: every model has the same three inputs, and none is dropped
        return cast("Tensor", self.model(**inputs).logits) + 0 * types[:, :1]


class AnswerModel(nn.Module):
    """A language model that answers: logit(yes) - logit(no) after its last token, or logit(yes)."""

    def __init__(self, model: Any, yes: int, no: int | None) -> None:  # noqa: ANN401  # transformers'
        super().__init__()
        self.model = model.model
        head = model.get_output_embeddings()
        rows = head.weight[yes] - (head.weight[no] if no is not None else 0)
        self.direction = nn.Parameter(rows.detach().clone(), requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, types: Tensor) -> Tensor:
        """Return float[n, 1] for three int64[n, length], padded on the right."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = attention_mask.sum(dim=1) - 1
        index = last.reshape(-1, 1, 1).expand(-1, 1, hidden.shape[2])
        answer = hidden.gather(1, index).squeeze(1) @ self.direction
        return cast("Tensor", answer.unsqueeze(1)) + 0 * types[:, :1]


def load_reranker_model(
    files: Located, answers: tuple[str, ...], *, trust_remote_code: bool
) -> Loaded:
    """Load a reranker from its folder.

    Args:
        files: the model's.
        answers: the tokens that mean yes and no, for a language model whose files do not say.
        trust_remote_code: run the model's own Python code.

    Raises:
        ModelUnavailableError: it cannot be loaded, or is no reranker.
    """
    config = read_saved(files.folder / "config.json") or {}
    require_json(model_files(walk(files.folder)))
    require_plausible(files.name, files.folder)
    listed = config.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    is_pair = architecture.endswith("ForSequenceClassification")
    auto = AutoModelForSequenceClassification if is_pair else AutoModelForCausalLM
    ids = () if is_pair else _answer_ids(files, answers)
    with loading(files, trust_remote_code=trust_remote_code):
        options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(files.folder), **options)
        model = auto.from_pretrained(
            str(files.folder), use_safetensors=True, dtype=torch.float32, **options
        ).eval()
        if is_pair:
            _require_one_label(files.name, model.config)
            takes_types = "token_type_ids" in tokenizer.model_input_names
            wrapped: nn.Module = PairModel(model, takes_types=takes_types)
            pair: tuple[str, ...] = ()
        else:
            yes, *no = (_token_id(tokenizer, token) for token in ids)
            wrapped = AnswerModel(model, yes, no[0] if no else None)
            pair = () if answers else _rendered(tokenizer, files.name)
        facts = ModelFacts(
            dim=1,
            max_length=_limit(files.folder, tokenizer, model),
            pooling="pair" if is_pair else "answer",
            prompt_in_pooling=True,
            fp16_overflows=model.config.model_type in FP16_OVERFLOWS,
            pair=pair,
        )
        return Loaded(wrapped.eval(), facts, tokenizer.backend_tokenizer.to_str())


def _require_one_label(name: str, config: Any) -> None:  # noqa: ANN401  # transformers' own
    if config.num_labels != 1:
        raise ModelUnavailableError(
            f"{name} has {config.num_labels} labels: it is a classifier, and no reranker",
            hint="a reranker has one",
        )


def _token_id(tokenizer: Any, token: int | str) -> int:  # noqa: ANN401  # transformers' own
    return token if isinstance(token, int) else int(tokenizer.convert_tokens_to_ids(token))


def _answer_ids(files: Located, answers: tuple[str, ...]) -> tuple[int | str, ...]:
    """Return the tokens that mean yes and no: those known, or those that the files name."""
    if answers:
        return answers
    for path in sorted(files.folder.glob("*_LogitScore/config.json")):
        config = read_saved(path) or {}
        yes, no = config.get("true_token_id"), config.get("false_token_id")
        if isinstance(yes, int):
            return (yes, no) if isinstance(no, int) else (yes,)
    raise ModelUnavailableError(
        f"{files.name} is no reranker that is known: it has no head with one label, and does not "
        "say which tokens are its answers",
        hint="`taskembed models` lists the rerankers",
    )


def _rendered(tokenizer: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401  # transformers' own
    """Return what the model's chat template puts before, between and after query and document."""
    messages = [
        {"role": "query", "content": _QUERY},
        {"role": "document", "content": _DOCUMENT},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, found, rest = text.partition(_QUERY)
    between, also_found, after = rest.partition(_DOCUMENT)
    if not (found and also_found) or _QUERY in rest or _DOCUMENT in after:
        raise ModelUnavailableError(
            f"the chat template of {name} does not hold the query and then the document, once",
            hint="name another reranker",
        )
    return before, between, after


def _limit(folder: Path, tokenizer: Any, model: nn.Module) -> int:  # noqa: ANN401  # transformers' own
    saved = (read_saved(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    limits = [tokenizer.model_max_length, saved, max_length(None, model)]
    return min(int(limit) for limit in limits if isinstance(limit, int) and limit > 0)

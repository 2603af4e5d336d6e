"""Layouts of models as the libraries save them, made up from a choice of each thing that one says.

save_layout(folder, Layout(pooling="max", truncation_side="left"))
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import (
    LSTM,
    Dropout,
    LayerNorm,
    Pooling,
    WeightedLayerPooling,
)
from tokenizers import AddedToken, pre_tokenizers, processors
from transformers import FunnelConfig, FunnelModel, GPT2Config, GPT2Model

from tests import tiny_families, tiny_models
from tests.tiny_models import HIDDEN

BACKBONES = (
    *("bert", "xlm-roberta", "mpnet", "distilbert", "roberta", "qwen3", "modernbert", "t5"),
    *("gpt2", "funnel"),
)
POSITIONS = {
    "bert": 64,
    "distilbert": 64,
    "xlm-roberta": 62,
    "roberta": 62,
    "mpnet": 64,
    "gpt2": 64,
}  # tokens that they have numbers for
HEADS = ("dense", "tanh-dense", "narrow-dense", "layer-norm", "normalize", "dropout")


@dataclass(frozen=True)
class Layout:
    """What a folder says.

    Attributes:
        backbone: one of BACKBONES.
        pooling: a mode, or several.
        include_prompt: whether the prompt is pooled.
        heads: of HEADS, in order.
        router: "" for none, "heads" for a Dense a side, "models" for a transformer a side,
            "poolings" for a pooling a side, the document's with the prompt.
        bert: changes of sentence_bert_config.json.
        st: changes of config_sentence_transformers.json.
        tokenizer: changes of tokenizer_config.json.
        chat: a chat template, which the texts are put into; "" for none.
        quirk: what is odd about the tokenizer.json or the modules.
    """

    backbone: str = "bert"
    pooling: str | tuple[str, ...] = "mean"
    include_prompt: bool = True
    heads: tuple[str, ...] = ("normalize",)
    router: str = ""
    bert: dict[str, Any] = field(default_factory=dict)
    st: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    chat: str = ""
    quirk: str = ""


def save_layout(folder: Path, layout: Layout) -> Path:
    """Save a model as the library saves it, then change what is said of it."""
    work = folder.with_name(f"{folder.name}-backbone")
    transformer = _backbone(work / "a", layout)
    modules = _modules(layout, transformer, work)
    model = SentenceTransformer(modules=modules, device="cpu")
    model.save(str(folder), create_model_card=False)
    shutil.rmtree(work)
    place = folder / "document_0_Transformer" if layout.router == "models" else folder
    for path in (folder, *folder.glob("*_Router")):
        if (path / "document_0_Transformer").is_dir():
            place = path / "document_0_Transformer"
    _change(place / "sentence_bert_config.json", layout.bert)
    if layout.chat:
        (place / "chat_template.jinja").write_text(layout.chat)
        modalities = {"text": TEXT_FORWARD, "message": {**TEXT_FORWARD, "format": "flat"}}
        _change(place / "sentence_bert_config.json", {"modality_config": modalities})
    _change(place / "tokenizer_config.json", layout.tokenizer)
    _change(folder / "config_sentence_transformers.json", layout.st)
    if layout.quirk == "other-paths":
        _rename(folder)
    return folder


def _modules(layout: Layout, transformer: Any, work: Path) -> list[Any]:  # noqa: ANN401  # Transformer
    torch.manual_seed(31)
    pooling: Any = layout.pooling
    pooled = Pooling(HIDDEN, pooling_mode=pooling, include_prompt=layout.include_prompt)
    width = pooled.pooling_output_dimension
    modules: list[Any] = [transformer]
    if layout.quirk == "lstm":
        modules.append(LSTM(HIDDEN, HIDDEN // 2))
    if layout.quirk == "weighted-layers":
        transformer.model.config.output_hidden_states = True
        modules.append(WeightedLayerPooling(HIDDEN, num_hidden_layers=2, layer_start=1))
    if layout.quirk != "no-pooling" or layout.router == "poolings":
        modules.append(pooled)
    for head in layout.heads:
        made, width = _head(head, width)
        modules.append(made)
    if layout.router == "poolings":
        whole = Pooling(HIDDEN, pooling_mode=pooling)
        modules[modules.index(pooled)] = Router.for_query_document([pooled], [whole])
    elif layout.router == "heads":
        sides = {side: [_head("dense", width)[0]] for side in ("query", "document")}
        modules.append(Router.for_query_document(sides["query"], sides["document"]))
    elif layout.router == "models":
        other = _backbone(work / "b", replace(layout, backbone="bert"), seed=99)
        modules = [Router.for_query_document([other], [transformer]), *modules[1:]]
    return modules


def _backbone(folder: Path, layout: Layout, seed: int = 0) -> Any:  # noqa: ANN401  # Transformer
    save: dict[str, Any] = {
        "bert": lambda path: tiny_models.save_bert(path, pooling="mean"),
        "xlm-roberta": tiny_models.save_xlm_roberta,
        "mpnet": lambda path: tiny_families.save_mpnet(path, pooling="mean"),
        "distilbert": lambda path: tiny_families.save_distilbert(path, pooling="mean"),
        "roberta": lambda path: tiny_families.save_roberta(path, pooling="mean"),
        "gpt2": _save_gpt2,
        "funnel": _save_funnel,
        "qwen3": tiny_models.save_qwen3,
        "modernbert": lambda path: tiny_families.save_modernbert(path, normalize=False),
        "t5": tiny_families.save_t5,
    }
    save[layout.backbone](folder)
    _odd_tokenizer(folder, layout.quirk)
    loaded = Transformer(str(folder), model_kwargs={"dtype": torch.float32})
    loaded.modality_config = {
        "text": {"method": "forward", "method_output_name": "last_hidden_state"}
    }
    if layout.backbone == "t5":
        loaded.max_seq_length = 96
    if seed:
        torch.manual_seed(seed)
        for weight in loaded.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    return loaded


def _save_gpt2(folder: Path) -> None:
    """Save a model that looks positions up, to the left only, with no token around a text."""
    torch.manual_seed(9)
    fast = tiny_models.byte_pairs(end_token=False)
    fast.padding_side = "right"
    config = GPT2Config(
        vocab_size=len(fast),
        n_positions=64,
        n_embd=HIDDEN,
        n_layer=2,
        n_head=2,
        initializer_range=0.4,
    )
    tiny_models.save(folder, GPT2Model(config), fast, pooling="mean", max_length=64)


def _save_funnel(folder: Path) -> None:
    """Save a model that makes one of every two tokens: a text's vector depends on the padding."""
    torch.manual_seed(8)
    fast = tiny_models.wordpiece()
    config = FunnelConfig(
        vocab_size=len(fast),
        block_sizes=[1, 1],
        d_model=HIDDEN,
        n_head=2,
        d_head=16,
        d_inner=64,
        num_decoder_layers=1,
        initializer_std=0.4,
    )
    tiny_models.save(folder, FunnelModel(config), fast, pooling="mean", max_length=64)


def _odd_tokenizer(folder: Path, quirk: str) -> None:
    fast = tiny_families.tokenizer_of(folder)
    backend = fast.backend_tokenizer
    token, number = str(fast.all_special_tokens[0]), int(fast.all_special_ids[0])
    templates = {
        "two-end-tokens": f"$A {token} {token}",
        "no-special-tokens": "$A",
        "types": f"$A:1 {token}:1",
    }
    if quirk in templates:
        specials = [(token, number)] if token in templates[quirk] else []
        backend.post_processor = processors.TemplateProcessing(
            single=templates[quirk], special_tokens=specials
        )
    if quirk == "types":
        fast.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    elif quirk == "prefix-space":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif quirk == "saved-truncation":
        backend.enable_truncation(5)
        backend.enable_padding(length=9)
    elif quirk == "id-beyond-the-table":
        fast.add_tokens(["zebra"])
    elif quirk == "extra-special":
        fast.add_special_tokens({"additional_special_tokens": ["fox"]})
    elif quirk == "greedy-token":  # it takes the blanks around it
        fast.add_tokens([AddedToken("dog", lstrip=True, rstrip=True, normalized=False)])
    fast.save_pretrained(folder)


def _head(name: str, width: int) -> tuple[Any, int]:
    if name == "dense":
        return Dense(width, width, activation_function=torch.nn.Identity()), width
    if name == "tanh-dense":
        return Dense(width, width), width
    if name == "narrow-dense":
        return Dense(width, width // 2, bias=False), width // 2
    if name == "layer-norm":
        layer = LayerNorm(width)
        layer.norm.weight.data += torch.randn(width) / 3
        return layer, width
    if name == "dropout":
        return Dropout(0.5), width
    return Normalize(), width


def _change(path: Path, changes: dict[str, Any]) -> None:
    if changes:
        value = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**value, **changes}))


def _rename(folder: Path) -> None:
    """Put the modules in folders of other names, as `path` in modules.json allows."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    for number, module in enumerate(modules):
        if module["path"]:
            (folder / module["path"]).rename(folder / f"part{number}")
            module |= {"path": f"part{number}", "name": f"part {number}", "idx": 10 - number}
    path.write_text(json.dumps(modules))


TEXT_FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
BERT_CONFIGS: list[dict[str, Any]] = [
    {},
    {"max_seq_length": 20},
    {"do_lower_case": True},
    {"query_length": 12},
    {"document_length": 9, "query_length": 30},
    {"processing_kwargs": {"text": {"max_length": 10}}},
    {"processing_kwargs": {"text": {"add_special_tokens": False}}},
    {"processing_kwargs": {"common": {"max_length": 14}}},
    {"processing_kwargs": {"text": {"truncation": False}}},
    {"processing_kwargs": {"text": {"padding": "max_length", "max_length": 24}}},
    {"processing_kwargs": {"text": {"return_token_type_ids": True}}},
    {"processing_kwargs": {"text": {"padding_side": "left"}}},
    {"processing_kwargs": {"text": {"truncation_side": "left"}}},
    {"processor_kwargs": {"truncation_side": "left"}},
    {"tokenizer_args": {"padding_side": "left"}},
    {"model_args": {"attn_implementation": "eager"}},
    {"config_kwargs": {"num_hidden_layers": 1}},
    {"query_expansion": {"strategy": "fixed", "length": 24, "token": None, "attend": True}},
    {"modality_config": {"text": TEXT_FORWARD, "message": TEXT_FORWARD}},
    {"max_seq_length": 1000},
]
TOKENIZERS: list[dict[str, Any]] = [
    {},
    {"truncation_side": "left"},
    {"padding_side": "left"},
    {"padding_side": "left", "truncation_side": "left"},
    {"model_max_length": 15},
    {"model_max_length": 10**30},
    {"do_lower_case": False},
    {"add_prefix_space": True},
    {"split_special_tokens": True},
]
ST_CONFIGS: list[dict[str, Any]] = [
    {},
    {"truncate_dim": 16},
    {"default_prompt_name": "other", "prompts": {"other": "other: ", "query": "q: "}},
    {"similarity_fn_name": "cosine"},
    {"truncate_dim": 0},
    {"prompts": {"query": "q: ", "document": None}},
]
CHATS = (
    *("", "", "", ""),
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
    "{% for m in messages %}[{{ m.content | trim }}] {% endfor %}{{ task }}",
    "{% if messages[1] %}{{ raise_exception('no system') }}{% endif %}<{{ messages[0].content }}>",
)
QUIRKS = (
    *("", "", "", "prefix-space", "two-end-tokens", "no-special-tokens", "types"),
    *("id-beyond-the-table", "extra-special", "greedy-token", "saved-truncation", "other-paths"),
    *("lstm", "weighted-layers", "no-pooling"),
)
POOLINGS: tuple[Any, ...] = (
    *("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"),
    *(("cls", "mean"), ("weightedmean", "max"), ("lasttoken", "weightedmean")),
)


ODD = 0.35  # how often a thing that a layout says is not the ordinary one


def drawn(seed: int) -> Layout:
    """Return a layout drawn at random: mostly ordinary, with about two oddities."""
    draw = random.Random(seed)

    def odd(choices: Sequence[Any]) -> Any:  # noqa: ANN401  # an element of any kind
        return draw.choice(choices) if draw.random() < ODD else choices[0]

    return Layout(
        backbone=draw.choice(BACKBONES),
        pooling=draw.choice(POOLINGS),
        include_prompt=draw.random() < 0.6,
        heads=tuple(draw.sample(HEADS, draw.randint(0, 2))),
        router=draw.choice(("", "", "heads", "models", "poolings")),
        bert=odd(BERT_CONFIGS),
        st=odd(ST_CONFIGS),
        tokenizer=odd(TOKENIZERS),
        chat=odd(CHATS),
        quirk=odd(QUIRKS),
    )

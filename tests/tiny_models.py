"""Tiny random models, saved in exactly the layout in which the real ones are published.

No weights are downloaded: one or two layers of random numbers run through the same loading code,
tokenizer, prompts, pooling and conversion as the real model of their family.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tests import plain_models
from tests.plain_models import COMMIT, HIDDEN, WORDS, publish, write_json, written_words

__all__ = ["COMMIT", "HIDDEN", "WORDS", "publish", "write_json"]


def wordpiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer as BERT's."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not ours
        tokenizer_object=plain_models.wordpiece(),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def save_bert(folder: Path, *, pooling: str, normalize: bool = True) -> Path:
    """Save a model as E5 v2 (mean) or BGE v1.5 (cls) is published."""
    torch.manual_seed(1)
    fast = wordpiece()
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    model = BertModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=64, normalize=normalize)


def sentencepiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer as XLM-RoBERTa's."""
    words, characters = written_words()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*characters, "\u2581", *(f"\u2581{word}" for word in words)]
    scored = [
        *((name, 0.0) for name in specials),
        *((piece, -len(piece) - 2.0) for piece in pieces),
    ]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=specials.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not ours
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=62,
    )


def save_xlm_roberta(folder: Path, *, pooling: str = "mean", normalize: bool = True) -> Path:
    """Save a model as multilingual-e5-base (mean) or BGE-M3 (cls) is published."""
    torch.manual_seed(2)
    fast = sentencepiece()
    config = XLMRobertaConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.4,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    model = XLMRobertaModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=62, normalize=normalize)


def save_multilingual_bert(folder: Path, *, pooling: str, normalize: bool = True) -> Path:
    """Save a model as paraphrase-multilingual-MiniLM-L12-v2 is: BERT with XLM-R's tokenizer."""
    torch.manual_seed(17)
    fast = sentencepiece()
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.4,
        pad_token_id=1,
    )
    model = BertModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=62, normalize=normalize)


def byte_pairs(*, end_token: bool = True) -> PreTrainedTokenizerFast:
    """Return a tokenizer as Qwen's, which puts <|endoftext|> at the end, or does not."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not ours
        tokenizer_object=plain_models.byte_pairs(end_token=end_token),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=96,
    )


def qwen3_config(vocabulary: int, **changes: object) -> Qwen3Config:
    """Return a small Qwen3."""
    sizes: dict[str, Any] = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 64,
        "max_position_embeddings": 96,
        "initializer_range": 0.4,
    }
    return Qwen3Config(vocab_size=vocabulary, **{**sizes, **changes})


def save_qwen3(folder: Path) -> Path:
    """Save a model as Qwen3-Embedding is: last token, an appended end token, left padding."""
    torch.manual_seed(3)
    fast = byte_pairs()
    config = qwen3_config(len(fast))
    prompts = plain_models.QWEN3_PROMPTS
    return save(folder, Qwen3Model(config), fast, pooling="lasttoken", prompts=prompts)


def vary_lengths(folder: Path) -> None:
    """Train a model's last norms, so to say: at first they make every vector equally long."""
    torch.manual_seed(0)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.lower().replace("_", "").endswith("norm.weight"):
            tensors[name] = torch.randn_like(tensor)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    pooling: str,
    max_length: int | None = None,
    prompts: dict[str, str] | None = None,
    normalize: bool = True,
) -> Path:
    """Save a model, its tokenizer, and the files of a SentenceTransformer around them."""
    model.eval()  # type: ignore[no-untyped-call]  # not ours
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return plain_models.write_around(
        folder, pooling=pooling, max_length=max_length, prompts=prompts, normalize=normalize
    )

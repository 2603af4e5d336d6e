"""Models that no library has to load: their files alone, in the layout of the published ones.

For tests that read a model's files or run it as a fake (taskembed/testing.py); tests/tiny_models.py
has models that run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

HIDDEN = 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # of every published model
WORDS = [
    "query passage represent this sentence for searching relevant passages instruct given a "
    "web search that answer the retrieve semantically similar text classify user categories in",
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    "the quick brown fox jumps over the lazy dog while seven wizards brew jinxed potions",
    "def add(left, right): return left + right",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
]

QWEN3_PROMPTS = {
    "query": "Instruct: Given a web search query, retrieve relevant passages that answer the "
    "query\nQuery:",
    "document": "",
}


def written_words() -> tuple[list[str], list[str]]:
    """Return the words of WORDS and their characters, in order.

    Vocabularies are made of them by hand: what trainers make of so few words differs from run to
    run, and so would every vector of a random model.
    """
    words = sorted({*re.findall(r"\w+", " ".join(WORDS))})
    return words, sorted({*"".join(WORDS)} - {*" \n"})


def wordpiece() -> Tokenizer:
    """Return a tokenizer as BERT's."""
    normalizer = normalizers.BertNormalizer(lowercase=True)
    words, characters = (
        [normalizer.normalize_str(one) for one in some] for some in written_words()
    )
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inside = [f"##{character}" for character in characters]
    pieces = dict.fromkeys([*specials, *characters, *inside, *words])
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def byte_pairs(*, end_token: bool = True) -> Tokenizer:
    """Return a tokenizer as Qwen's, which puts <|endoftext|> at the end, or does not."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_end|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    if end_token:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>",
            pair="$A <|endoftext|> $B:1 <|endoftext|>:1",
            special_tokens=[("<|endoftext|>", 0)],
        )
    return tokenizer


def save_bert(folder: Path, *, pooling: str = "mean") -> Path:
    """Save the files of a model as E5 v2 (mean) or BGE v1.5 (cls) is published."""
    config = {"model_type": "bert", "hidden_size": HIDDEN, "max_position_embeddings": 64}
    _save(folder, wordpiece(), config)
    return write_around(folder, pooling=pooling, max_length=64)


def save_qwen3(folder: Path) -> Path:
    """Save the files of a model as Qwen3-Embedding is published."""
    config = {"model_type": "qwen3", "hidden_size": HIDDEN, "max_position_embeddings": 96}
    _save(folder, byte_pairs(), config)
    return write_around(folder, pooling="lasttoken", prompts=QWEN3_PROMPTS)


def _save(folder: Path, tokenizer: Tokenizer, config: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", config)
    save_file({"weights": np.arange(HIDDEN, dtype=np.float32)}, folder / "model.safetensors")


def write_around(
    folder: Path,
    *,
    pooling: str,
    max_length: int | None = None,
    prompts: dict[str, str] | None = None,
    normalize: bool = True,
) -> Path:
    """Write the files of a SentenceTransformer around a model and its tokenizer."""
    base = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{base}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{base}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{base}.Normalize"},
    ]
    modules = modules if normalize else modules[:2]
    modes = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": HIDDEN,
            **{f"pooling_mode_{name}": name == modes[pooling] for name in modes.values()},
        },
    )
    (folder / "2_Normalize").mkdir()
    if max_length:
        write_json(
            folder / "sentence_bert_config.json",
            {"max_seq_length": max_length, "do_lower_case": False},
        )
    write_json(
        folder / "config_sentence_transformers.json",
        {"__version__": {"sentence_transformers": "2.7.0"}, "prompts": prompts or {}},
    )
    return folder


def publish(folder: Path, hub: Path, name: str) -> None:
    """Put a model where the hub's library keeps what it has downloaded, under its name there."""
    repository = hub / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    (folder / ".gitattributes").touch()  # as every whole repository has it
    (repository / "snapshots" / COMMIT).symlink_to(folder.absolute(), target_is_directory=True)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

"""Tiny random models, saved in exactly the layout in which the real ones are published.

No weights are downloaded: one or two layers of random numbers run through the same loading code,
tokenizer, prompts, pooling and conversion as the real model of their family.
"""

from __future__ import annotations

import json
import re
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
    trainers,
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


def written_words() -> tuple[list[str], list[str]]:
    """Return the words of WORDS and their characters, in order.

    Vocabularies are made of them by hand: what trainers make of so few words differs from run to
    run, and so would every vector of a random model.
    """
    words = sorted({*re.findall(r"\w+", " ".join(WORDS))})
    return words, sorted({*"".join(WORDS)} - {*" \n"})


def wordpiece() -> PreTrainedTokenizerFast:
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
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not ours
        tokenizer_object=tokenizer,
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
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not ours
        tokenizer_object=tokenizer,
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
    prompts = {
        "query": "Instruct: Given a web search query, retrieve relevant passages that answer the "
        "query\nQuery:",
        "document": "",
    }
    return save(folder, Qwen3Model(config), fast, pooling="lasttoken", prompts=prompts)


def vary_lengths(folder: Path) -> None:
    """Train a model's last norms, so to say: at first they make every vector equally long."""
    torch.manual_seed(0)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.lower().replace("_", "").endswith("norm.weight"):
            tensors[name] = torch.randn_like(tensor)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def publish(folder: Path, hub: Path, name: str) -> None:
    """Put a model where the hub's library keeps what it has downloaded, under its name there."""
    repository = hub / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    (folder / ".gitattributes").touch()  # as every whole repository has it
    (repository / "snapshots" / COMMIT).symlink_to(folder.absolute(), target_is_directory=True)


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


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

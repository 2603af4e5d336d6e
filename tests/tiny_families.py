"""Tiny random models of the families whose repositories are laid out in a way of their own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tokenizers import processors
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertModel,
    EmbeddingGemma2Config,
    EmbeddingGemma2Model,
    EmbeddingGemma2TextConfig,
    EuroBertConfig,
    EuroBertModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    JinaEmbeddingsV3Config,
    JinaEmbeddingsV3Model,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    NomicBertConfig,
    NomicBertModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Model,
    Qwen3ForCausalLM,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from tests import tiny_models
from tests.tiny_models import HIDDEN, save, write_json

SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.4,
}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_modernbert(
    folder: Path, *, pooling: str = "cls", normalize: bool = True, layers: int = 2
) -> Path:
    """Save a model as gte-modernbert-base and Granite R2 are: the first token."""
    torch.manual_seed(4)
    fast = tiny_models.wordpiece()
    config = ModernBertConfig(
        vocab_size=len(fast),
        max_position_embeddings=64,
        initializer_cutoff_factor=2.0,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
        local_attention=16,
        **{**SIZES, "num_hidden_layers": layers},
    )
    return save(folder, ModernBertModel(config), fast, pooling=pooling, normalize=normalize)


def save_static(folder: Path) -> Path:
    """Save a model as static-retrieval-mrl-en-v1 is: a table, in a folder of its own."""
    torch.manual_seed(21)
    tokenizer = tiny_models.wordpiece().backend_tokenizer
    name = "0_StaticEmbedding"
    (folder / name).mkdir(parents=True)
    table = torch.randn(tokenizer.get_vocab_size(), HIDDEN)
    save_file({"embedding.weight": table}, folder / name / "model.safetensors")
    tokenizer.save(str(folder / name / "tokenizer.json"))
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": name, "type": kind}])
    return folder


def save_model2vec(
    folder: Path, *, quantized: bool = False, listed: bool = True, normalize: bool = True
) -> Path:
    """Save a model as potion-* are: what model2vec writes; `listed` is for modules.json.

    Quantized, tokens share rows, in half precision, and each has a weight.
    """
    torch.manual_seed(22)
    tokenizer = tiny_models.wordpiece().backend_tokenizer
    tokens = tokenizer.get_vocab_size()
    rows = 7 if quantized else tokens
    tensors = {"embeddings": torch.randn(rows, HIDDEN)}
    if quantized:
        tensors["embeddings"] = tensors["embeddings"].half()
        tensors["mapping"] = torch.arange(tokens) % rows
        tensors["weights"] = torch.rand(tokens, dtype=torch.float64)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": HIDDEN,
        "seq_length": 1_000_000,
        "normalize": normalize,
    }
    write_json(folder / "config.json", config)
    base = "sentence_transformers.models"
    first = {"idx": 0, "name": "0", "path": ".", "type": f"{base}.StaticEmbedding"}
    last = {"idx": 1, "name": "1", "path": "1_Normalize", "type": f"{base}.Normalize"}
    if listed:
        write_json(folder / "modules.json", [first, last] if normalize else [first])
    return folder


def save_distilbert(folder: Path, *, pooling: str, normalize: bool = True) -> Path:
    """Save a model as multi-qa-distilbert-* and TAS-B are."""
    torch.manual_seed(14)
    fast = tiny_models.wordpiece()
    config = DistilBertConfig(
        vocab_size=len(fast),
        dim=HIDDEN,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    model = DistilBertModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=64, normalize=normalize)


def save_mpnet(folder: Path, *, pooling: str, normalize: bool = True) -> Path:
    """Save a model as all-mpnet-base-v2 and multi-qa-mpnet-* are."""
    torch.manual_seed(15)
    fast = tiny_models.wordpiece()
    config = MPNetConfig(vocab_size=len(fast), max_position_embeddings=66, pad_token_id=0, **SIZES)
    model = MPNetModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=64, normalize=normalize)


def save_roberta(folder: Path, *, pooling: str, normalize: bool = True) -> Path:
    """Save a model as all-distilroberta-v1 is."""
    torch.manual_seed(16)
    fast = tiny_models.sentencepiece()
    config = RobertaConfig(
        vocab_size=len(fast),
        max_position_embeddings=64,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **SIZES,
    )
    model = RobertaModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=62, normalize=normalize)


def save_t5(folder: Path) -> Path:
    """Save a model as INSTRUCTOR is: T5's encoder, mean, a Dense without bias, unit length."""
    torch.manual_seed(5)
    fast = tiny_models.sentencepiece()
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    config = T5Config(
        vocab_size=len(fast),
        d_model=HIDDEN,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        pad_token_id=1,
        eos_token_id=2,
        initializer_factor=3.0,
    )
    save(folder, T5EncoderModel(config), fast, pooling="mean", max_length=96)
    save_dense(folder / "2_Dense", HIDDEN, HIDDEN)
    write_modules(folder, "Transformer", "1_Pooling", "2_Dense", "3_Normalize")
    return folder


def save_gemma(folder: Path, *, layers: int = 2) -> Path:
    """Save a model as EmbeddingGemma is: both directions, mean, two Dense, unit length."""
    torch.manual_seed(6)
    fast = tiny_models.sentencepiece()
    config = Gemma3TextConfig(
        vocab_size=len(fast),
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        max_position_embeddings=128,
        sliding_window=16,
        use_bidirectional_attention=True,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **{**SIZES, "num_hidden_layers": layers},
    )
    save(folder, Gemma3TextModel(config), fast, pooling="mean", max_length=62)
    save_dense(folder / "2_Dense", HIDDEN, 4 * HIDDEN)
    save_dense(folder / "3_Dense", 4 * HIDDEN, HIDDEN)
    write_modules(folder, "Transformer", "1_Pooling", "2_Dense", "3_Dense", "4_Normalize")
    return folder


def save_gemma2(folder: Path, *, layers: int = 2) -> Path:
    """Save a model as EmbeddingGemma 2 is: its text part beside one for images, and a processor.

    The text part looks in both directions, has a projection of its own, and is pooled by the mean.
    """
    torch.manual_seed(20)
    fast = tiny_models.sentencepiece()
    text = EmbeddingGemma2TextConfig(
        vocab_size=len(fast),
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=128,
        sliding_window=16,
        hidden_size_per_layer_input=8,
        embedding_dim=HIDDEN,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **{
            **SIZES,
            "num_hidden_layers": layers,
            "global_head_dim": 16,
            "sliding_window_pattern": 2,
        },  # no fields of it
    )
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    images = {"model_type": "gemma4_vision", "patch_size": 4, "position_embedding_size": 16}
    model = EmbeddingGemma2Model(
        EmbeddingGemma2Config(text_config=text, vision_config={**heads, **sizes, **images})
    )
    save(folder, model, fast, pooling="mean")
    write_json(
        folder / "processor_config.json",
        {
            "processor_class": "EmbeddingGemma2Processor",
            "image_processor": {"image_processor_type": "Gemma4ImageProcessor"},
        },
    )
    change_json(folder / "tokenizer_config.json", processor_class="EmbeddingGemma2Processor")
    read = {"method": "forward", "method_output_name": "last_hidden_state"}
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": dict.fromkeys(("text", "image"), read),
            "module_output_name": "token_embeddings",
        },
    )
    return folder


def save_nomic(folder: Path, *, pooling: str = "mean", normalize: bool = True) -> Path:
    """Save a model as nomic-embed-text-v1.5 is."""
    torch.manual_seed(7)
    fast = tiny_models.wordpiece()
    config = NomicBertConfig(
        vocab_size=len(fast), max_position_embeddings=64, pad_token_id=0, **SIZES
    )
    model = NomicBertModel(config)
    return save(folder, model, fast, pooling=pooling, max_length=64, normalize=normalize)


def save_with_code(folder: Path, *, pooling: str = "mean", **config: object) -> Path:
    """Save a model that loads only with Python code of its own, which computes otherwise."""
    tiny_models.save_bert(folder, pooling=pooling)
    (folder / "modeling_own.py").write_text(
        "from transformers import BertConfig, BertModel\n\n\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n\n\n"
        "class OwnModel(BertModel):\n    config_class = OwnConfig\n\n"
        "    def forward(self, **inputs):\n"
        "        output = super().forward(**inputs)\n"
        "        output.last_hidden_state = output.last_hidden_state.roll(1, dims=-1) ** 3\n"
        "        return output\n"
    )
    mapped = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    change_config(folder, model_type="own", auto_map=mapped, **config)
    return folder


def save_qwen2(folder: Path, *, pooling: str, end_token: bool = False) -> Path:
    """Save a model as KaLM (mean) and Jina's code models (last token) are: stock Qwen2."""
    torch.manual_seed(18)
    fast = tiny_models.byte_pairs(end_token=end_token)
    config = Qwen2Config(
        vocab_size=len(fast), num_key_value_heads=2, max_position_embeddings=96, **SIZES
    )
    return save(folder, Qwen2Model(config), fast, pooling=pooling)


def save_mistral(folder: Path) -> Path:
    """Save a model as e5-mistral is: its tokenizer begins a text, and has lost its end token.

    It says that it adds one, which transformers 5 does not act on any more.
    """
    torch.manual_seed(19)
    fast = tiny_models.sentencepiece()
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast.model_max_length = 96
    config = MistralConfig(
        vocab_size=len(fast),
        num_key_value_heads=2,
        max_position_embeddings=96,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        **SIZES,
    )
    save(folder, MistralModel(config), fast, pooling="lasttoken")
    change_json(folder / "tokenizer_config.json", add_bos_token=True, add_eos_token=True)
    return folder


def save_gte_qwen2(folder: Path) -> Path:
    """Save a model as gte-Qwen2-instruct is: code of its own looks in both directions.

    Its tokenizer says that it adds an end token, which transformers 5 does not act on any more.
    """
    torch.manual_seed(8)
    fast = tiny_models.byte_pairs(end_token=False)
    fast.eos_token = fast.pad_token
    config = Qwen2Config(
        vocab_size=len(fast), num_key_value_heads=2, max_position_embeddings=96, **SIZES
    )
    save(folder, Qwen2Model(config), fast, pooling="lasttoken")
    (folder / "modeling_qwen.py").write_text(
        "from transformers import Qwen2Model as Causal\n\n\n"
        "class Qwen2Model(Causal):\n"
        "    def __init__(self, config):\n"
        "        config.is_causal = False\n"
        "        super().__init__(config)\n"
        "        for layer in self.layers:\n"
        "            layer.self_attn.is_causal = False\n"
    )
    change_config(folder, auto_map={"AutoModel": "modeling_qwen.Qwen2Model"})
    change_json(folder / "tokenizer_config.json", add_eos_token=True)
    return folder


def save_zembed(folder: Path) -> Path:
    """Save a model as zEmbed-1 is: a class of its own for the suffix, a chain of projections."""
    torch.manual_seed(9)
    fast = tiny_models.byte_pairs(end_token=False)
    save(folder, Qwen3Model(tiny_models.qwen3_config(len(fast))), fast, pooling="lasttoken")
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[0]["type"] = "modeling_zembed.ZembedTransformer"
    path.write_text(json.dumps(modules))
    (folder / "modeling_zembed.py").write_text("raise SystemExit('this code must not be run')\n")
    change_json(
        folder / "config_sentence_transformers.json",
        prompts={
            "query": "<|im_start|>system\nquery<|im_end|>\n<|im_start|>user\n",
            "document": "<|im_start|>system\ndocument<|im_end|>\n<|im_start|>user\n",
        },
        suffix="<|im_end|>\n",
        default_prompt_name="document",
    )
    chain = {"16": torch.randn(32, 16), "8": torch.randn(16, 8)}
    save_file(chain, folder / "projections.safetensors")
    return folder


JINA_V5_TASKS = ("retrieval", "text-matching", "clustering", "classification")


def save_jina_v5(folder: Path, size: str) -> Path:
    """Save a model as jina-embeddings-v5-text-small or -nano is, with four adapters."""
    save_jina_v5_base(folder, size)
    base = load_jina_v5_base(folder)
    for task in JINA_V5_TASKS:
        save_adapter(folder / "adapters" / task, base, PROJECTIONS)
    config = json.loads((folder / "config.json").read_text())
    theta = config.pop("rope_parameters")["rope_theta"]
    config.pop("architectures")
    config |= {
        "model_type": "jina_embeddings_v5",
        "rope_theta": theta,
        "task_names": list(JINA_V5_TASKS),
        "auto_map": {"AutoModel": "modeling_jina_embeddings_v5.JinaEmbeddingsV5Model"},
        "is_decoder": size == "small",
    }
    write_json(folder / "config.json", config)
    for name in ("modeling_jina_embeddings_v5.py", "custom_st.py"):
        (folder / name).write_text("raise SystemExit('this code must not be run')\n")
    first = {"idx": 0, "name": "transformer", "path": "", "type": "custom_st.Transformer"}
    write_json(folder / "modules.json", [{**first, "kwargs": ["task", "truncate_dim"]}])
    (folder / "1_Pooling" / "config.json").unlink()
    (folder / "1_Pooling").rmdir()
    (folder / "2_Normalize").rmdir()
    change_json(
        folder / "config_sentence_transformers.json",
        prompts={"query": "Query: ", "document": "Document: "},
        default_prompt_name="document",
    )
    return folder


def save_jina_v5_base(folder: Path, size: str) -> Path:
    """Save Jina v5 without adapters, in a stock layout: as a pre-merged sibling is."""
    torch.manual_seed(10)
    fast = tiny_models.byte_pairs(end_token=False)
    fast.padding_side = "right"
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
    model: Any
    if size == "small":
        model = Qwen3Model(tiny_models.qwen3_config(len(fast), rope_parameters=rope))
    else:
        config = EuroBertConfig(
            vocab_size=len(fast),
            num_key_value_heads=2,
            max_position_embeddings=96,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
            rope_parameters=rope,
            **SIZES,
        )
        model = EuroBertModel(config)
    prompts = {"query": "Query: ", "document": "Document: "}
    return save(folder, model, fast, pooling="lasttoken", prompts=prompts)


def load_jina_v5_base(folder: Path) -> Any:  # noqa: ANN401  # one of two classes
    """Return the backbone as transformers loads it, before the configuration is rewritten."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    loaded: Any = Qwen3Model if kind == "qwen3" else EuroBertModel
    return loaded.from_pretrained(folder)


def save_stock_view(folder: Path, base: Path, size: str) -> None:
    """Save the backbone of a published Jina v5 under the configuration of its stock class."""
    config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    kind = "qwen3" if size == "small" else "eurobert"
    write_json(base / "config.json", {**config, "model_type": kind, "rope_parameters": rope})
    (base / "model.safetensors").symlink_to(folder / "model.safetensors")


JINA_V3_ADAPTERS = (
    *("retrieval_query", "retrieval_passage"),
    *("separation", "classification", "text_matching"),
)


def save_jina_v3(folder: Path) -> Path:
    """Save a model as jina-embeddings-v3-hf is: an adapter for each side of retrieval."""
    torch.manual_seed(11)
    fast = tiny_models.sentencepiece()
    config = JinaEmbeddingsV3Config(
        vocab_size=len(fast), max_position_embeddings=64, pad_token_id=1, **SIZES
    )
    model = JinaEmbeddingsV3Model(config)
    save(folder, model, fast, pooling="mean", max_length=62)
    for name in JINA_V3_ADAPTERS:
        save_adapter(folder / name, model, ("q_proj", "k_proj", "v_proj", "o_proj"))
    return folder


def save_adapter(
    folder: Path, base: nn.Module, targets: Iterable[str], *, base_name: str = ""
) -> Path:
    """Save a random LoRA adapter of a model, as PEFT does."""
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=list(targets), task_type="FEATURE_EXTRACTION"
    )
    wrapped = get_peft_model(copy.deepcopy(base), config)
    for name, weight in wrapped.named_parameters():
        if "lora_" in name:
            nn.init.normal_(weight, std=0.3)
    wrapped.save_pretrained(str(folder))
    change_json(folder / "adapter_config.json", base_model_name_or_path=base_name)
    return folder


def save_dense(folder: Path, width: int, out: int, *, tanh: bool = False) -> None:
    """Save a Dense module: without bias or activation, or with both."""
    kind = "activation.Tanh" if tanh else "linear.Identity"
    write_json(
        folder / "config.json",
        {
            "in_features": width,
            "out_features": out,
            "bias": tanh,
            "activation_function": f"torch.nn.modules.{kind}",
        },
    )
    tensors = {"linear.weight": torch.randn(out, width) / width**0.5}
    tensors |= {"linear.bias": torch.randn(out) / 4} if tanh else {}
    save_file(tensors, folder / "model.safetensors")


def save_with_dense(
    folder: Path, *, save: Callable[..., Path], pooling: str, normalize: bool = True
) -> Path:
    """Save a model as LaBSE is: a Dense after the pooling, from 32 numbers to 24."""
    save(folder, pooling=pooling)
    save_dense(folder / "2_Dense", HIDDEN, 24, tanh=True)
    names = ["Transformer", "1_Pooling", "2_Dense", *(["3_Normalize"] if normalize else [])]
    write_modules(folder, *names)
    return folder


def write_modules(folder: Path, *names: str) -> None:
    """Write modules.json: "2_Dense" is a Dense in the folder of that name."""
    base = "sentence_transformers.models"
    modules = []
    for position, name in enumerate(names):
        path = "" if position == 0 else name
        if path:
            (folder / path).mkdir(exist_ok=True)
        kind = name.rpartition("_")[2]
        modules.append(
            {"idx": position, "name": str(position), "path": path, "type": f"{base}.{kind}"}
        )
    write_json(folder / "modules.json", modules)


def change_config(folder: Path, **changes: object) -> None:
    """Change config.json."""
    change_json(folder / "config.json", **changes)


def change_json(path: Path, **changes: object) -> None:
    """Change the keys of a JSON file."""
    write_json(path, {**json.loads(path.read_text()), **changes})


def tokenizer_of(folder: Path) -> Any:  # noqa: ANN401  # transformers' own
    """Return a model's tokenizer."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def save_cross_encoder(folder: Path, kind: str, *, labels: int = 1) -> Path:
    """Save a cross-encoder: bge-reranker's is "xlm-roberta", Granite's "modernbert"."""
    torch.manual_seed(12)
    count: dict[str, Any] = {"num_labels": labels}
    model: Any
    if kind == "bert":
        fast = tiny_models.wordpiece()
        config: Any = BertConfig(vocab_size=len(fast), max_position_embeddings=64, **SIZES, **count)
        model = BertForSequenceClassification(config)
    elif kind == "modernbert":
        fast = tiny_models.wordpiece()
        config = ModernBertConfig(
            vocab_size=len(fast),
            max_position_embeddings=64,
            pad_token_id=0,
            local_attention=16,
            **SIZES,
            **count,
        )
        model = ModernBertForSequenceClassification(config)
    else:
        fast = tiny_models.sentencepiece()
        config = XLMRobertaConfig(
            vocab_size=len(fast),
            max_position_embeddings=64,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            **SIZES,
            **count,
        )
        model = XLMRobertaForSequenceClassification(config)
    if kind != "bert":
        fast.model_input_names = ["input_ids", "attention_mask"]
    else:
        fast.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    model.eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def save_answering(folder: Path) -> Path:
    """Save a reranker as Qwen3-Reranker is: a language model that answers yes or no."""
    torch.manual_seed(13)
    fast = tiny_models.byte_pairs(end_token=False)
    fast.add_tokens(["yes", "no", "Yes"])
    fast.model_max_length = 400
    config = tiny_models.qwen3_config(len(fast), max_position_embeddings=400)
    model: Any = Qwen3ForCausalLM(config)
    model.eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def save_zerank(folder: Path) -> Path:
    """Save a reranker as zerank-2 is: the logit of "Yes", and a chat template for the pair."""
    save_answering(folder)
    fast = tokenizer_of(folder)
    fast.chat_template = (
        "{%- set q = (messages | selectattr('role', 'eq', 'query') | first)['content'] -%}"
        "{%- set d = (messages | selectattr('role', 'eq', 'document') | first)['content'] -%}"
        "{{ '<|im_start|>system\\n' + q + '<|im_end|>\\n<|im_start|>user\\n' + d "
        "+ '<|im_end|>\\n<|im_start|>assistant\\n' }}"
    )
    fast.save_pretrained(folder)
    base = "sentence_transformers"
    write_json(
        folder / "modules.json",
        [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": f"{base}.base.modules.transformer.Transformer",
            },
            {
                "idx": 1,
                "name": "1",
                "path": "1_LogitScore",
                "type": f"{base}.cross_encoder.modules.logit_score.LogitScore",
            },
        ],
    )
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {
                "text": {"method": "forward", "method_output_name": "logits"},
                "message": {"method": "forward", "method_output_name": "logits", "format": "flat"},
            },
            "module_output_name": "causal_logits",
        },
    )
    write_json(
        folder / "1_LogitScore" / "config.json",
        {"true_token_id": fast.convert_tokens_to_ids("Yes"), "false_token_id": None},
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "5.4.0"},
            "model_type": "CrossEncoder",
            "prompts": {},
            "activation_fn": "torch.nn.modules.linear.Identity",
        },
    )
    return folder

"""Makes repositories with custom code loadable by the stock classes of sentence-transformers.

Jina v5 and zEmbed-1 are stock architectures with custom classes around them; EmbeddingGemma 2 also
reads images and sound. A view of such a folder has links to its files and a configuration with the
stock classes for texts: the weights load unchanged, and no code of the repository is run.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskembed.errors import ModelUnavailableError
from taskembed.models.folder import module_folders, saved_modules, walk
from taskembed.models.saved_json import read_saved

_LIBRARY = "sentence_transformers."
_HERE = "sentence_transformers.models"
_TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": f"{_HERE}.Transformer"}
_JINA_V5 = "jina_embeddings_v5"
_GEMMA2 = "embedding_gemma2"
_ZEMBED = "modeling_zembed.ZembedTransformer"
_MODEL2VEC = "model2vec"


def brings_own_model(folder: Path) -> bool:
    """Return whether a repository has its own model class that transformers would silently ignore.

    If its architecture has the name of a stock architecture, the stock class is loaded, which may
    compute something else: gte-Qwen2 has bidirectional attention, Qwen2 of transformers is causal.
    """
    config = read_saved(folder / "config.json") or {}
    mapped = config.get("auto_map")
    return isinstance(mapped, dict) and any(name.startswith("AutoModel") for name in mapped)


def refers_to_code(folder: Path) -> bool:
    """Return whether a file of a model names a class in the model's own Python code."""
    configs = [read_saved(folder / name) or {} for name in ("config.json", "tokenizer_config.json")]
    own_modules = [kind for kind in module_types(folder) if not kind.startswith(_LIBRARY)]
    return bool(own_modules) or any(config.get("auto_map") for config in configs)


def is_understood(folder: Path) -> bool:
    """Return whether a stock view replaces a repository's own code, or parts of it."""
    return bool(_changed_files(folder))


def module_types(folder: Path) -> list[str]:
    """Return the classes that modules.json names, in their order."""
    return [str(module.get("type", "")) for module in saved_modules(folder)]


def refuse_other_kinds(name: str, folder: Path) -> None:
    """Refuse models other than embedding models, which sentence-transformers might load.

    Raises:
        ModelUnavailableError: the model is a reranker, a sparse or late-interaction model, or a
            language model; its weights are quantised; or its files contain an impossible value.
    """
    refuse_malformed(name, folder)
    config = read_saved(folder / "config.json") or {}
    saved = read_saved(folder / "config_sentence_transformers.json") or {}
    classes = [str(module.get("type", "")) for module in saved_modules(folder)]
    listed = config.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    kind = str(saved.get("model_type", ""))
    last = {name.rpartition(".")[2] for name in classes}
    hint = "name an embedding model with --model"
    if place := _quantised(folder):
        why = f"is quantised (quantization_config in {place}), and not supported"
        hint = "name the repository that it was converted from"
    elif kind == "CrossEncoder" or "LogitScore" in last or _is_classifier(classes, architecture):
        why = "is a reranker: it computes scores of pairs, and no vectors of texts"
        hint = f"--rerank {name} with `taskembed search`"
    elif kind == "SparseEncoder" or last & _SPARSE:
        why = "is a sparse model: not supported"
    elif (
        kind in _LATE
        or last & _LATE
        or "ColBERT" in architecture
        or _any_starts(classes, "pylate.")
        or (folder / "artifact.metadata").is_file()  # a file of ColBERT models
    ):
        why = "has a vector for every token (ColBERT): not supported"
    elif not classes and re.search(r"For[A-Z]", architecture):
        why = (
            f"is a {architecture} without modules.json: nothing shows that it is an embedding "
            "model, or how its tokens are pooled (sparse models look the same)"
        )
    else:
        return
    raise ModelUnavailableError(f"the model {name!r} {why}", hint=hint)


_SPARSE = {"SpladePooling", "MLMTransformer", "SparseStaticEmbedding", "SparseAutoEncoder", "IDF"}
_LATE = {"ColBERT", "MultiVectorEncoder", "MultiVectorMask", "TokenPooling"}


def refuse_malformed(name: str, folder: Path) -> None:
    """Refuse a model whose files have a field with an impossible value.

    Raises:
        ModelUnavailableError: a value is impossible; the message names the file and the field.
    """
    saved = read_saved(folder / "config_sentence_transformers.json") or {}
    prompts, cut = saved.get("prompts", {}), saved.get("truncate_dim")
    if not isinstance(prompts, dict) or not all(
        text is None or isinstance(text, str) for text in prompts.values()
    ):
        wrong = f"prompts {prompts!r} in config_sentence_transformers.json"
    elif cut is not None and (type(cut) is not int or cut < 1):
        wrong = f"truncate_dim {cut!r} in config_sentence_transformers.json"
    else:
        wrong = next((what for item in saved_modules(folder) if (what := _wrong_in(item))), "")
    if wrong:
        raise ModelUnavailableError(
            f"the model {name!r} has an invalid value: {wrong}",
            hint="save or download the model again",
        )


def _wrong_in(module: dict[str, Any]) -> str:
    """Return what is wrong in an entry of modules.json; "" if nothing is."""
    for key in ("name", "path", "type"):
        if not isinstance(module.get(key), str):
            return f"a module with the {key} {module.get(key)!r} in modules.json"
    path = Path(module["path"])
    if path.is_absolute() or ".." in path.parts:
        return f"a module outside of its folder, {module['path']!r} in modules.json"
    return ""


def _quantised(folder: Path) -> str:
    """Return the first configuration with quantised weights; "" if there is none."""
    for place in (folder, *module_folders(walk(folder))):
        if (read_saved(place / "config.json") or {}).get("quantization_config"):
            return str((place / "config.json").relative_to(folder))
    return ""


def _is_classifier(classes: list[str], architecture: str) -> bool:
    return not classes and architecture.endswith("ForSequenceClassification")


def _any_starts(names: list[str], begin: str) -> bool:
    return any(name.startswith(begin) for name in names)


def has_sides(folder: Path) -> bool:
    """Return whether queries and documents have different modules (Router, Asym)."""
    kinds = {str(module.get("type", "")).rpartition(".")[2] for module in saved_modules(folder)}
    return bool(kinds & {"Router", "Asym"})


@contextlib.contextmanager
def stock_view(folder: Path) -> Iterator[Path]:
    """Yield a folder that loads without the model's code; the model's own folder if it does."""
    changed = _changed_files(folder)
    if not changed:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="taskembed-") as name:
        view = Path(name)
        ours = {
            Path(relative).parts[0] for relative in changed
        }  # not linked, since writing would change the originals
        for path in folder.iterdir():
            if path.name not in ours and path.suffix != ".py":
                (view / path.name).symlink_to(path.resolve())
        for relative, text in changed.items():
            if text is not None:
                (view / relative).parent.mkdir(exist_ok=True)
                (view / relative).write_text(text)
        yield view


def _changed_files(folder: Path) -> Mapping[str, str | None]:
    """Return the new contents of files that a view changes; None for files that it omits."""
    config = read_saved(folder / "config.json") or {}
    if config.get("model_type") == _JINA_V5:
        return _jina_v5(config, folder)
    text_config = config.get("text_config")
    if config.get("model_type") == _GEMMA2 and isinstance(text_config, dict):
        return _gemma2(text_config, folder)
    modules = saved_modules(folder)
    if config.get("model_type") == _MODEL2VEC and not modules:
        return _model2vec(config)
    if modules and modules[0].get("type") == _ZEMBED:
        # its class only adds a suffix and projections, which taskembed implements
        return {"modules.json": json.dumps([{**modules[0], **_TRANSFORMER}, *modules[1:]])}
    return {}


def _model2vec(config: dict[str, Any]) -> dict[str, str]:
    """Return the modules.json of a folder that an early version of model2vec saved."""
    table = {"idx": 0, "name": "0", "path": ".", "type": f"{_HERE}.StaticEmbedding"}
    unit = {"idx": 1, "name": "1", "path": "1_Normalize", "type": f"{_HERE}.Normalize"}
    normalizes = config.get("normalize") is True
    files = {"modules.json": json.dumps([table, unit] if normalizes else [table])}
    return {**files, "1_Normalize/config.json": "{}"} if normalizes else files


def static_folder(folder: Path) -> Path | None:
    """Return the folder of the table and the tokenizer of static embeddings; None for others."""
    modules = saved_modules(folder)
    if not modules:
        config = read_saved(folder / "config.json") or {}
        return folder if config.get("model_type") == _MODEL2VEC else None
    first, path = modules[0], str(modules[0].get("path", ""))
    if not str(first.get("type", "")).endswith(".StaticEmbedding") or ".." in Path(path).parts:
        return None
    return folder / path


def _jina_v5(config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the files of Jina v5 for stock classes: backbone, last token, normalisation.

    The source is custom_st.py in its repository. Subtle: the base of the rotary embedding is 1e6 in
    the configuration. The stock class EuroBertConfig silently uses 1e4, unless the value has the
    name that the class expects; every vector would be wrong.
    """
    # only Qwen3 (small) normalises queries and keys; EuroBERT (nano) is bidirectional
    is_qwen3 = any(".q_norm." in name for name in _tensor_names(folder))
    kind, architecture = ("qwen3", "Qwen3Model") if is_qwen3 else ("eurobert", "EuroBertModel")
    ours = {key: value for key, value in config.items() if key not in {"auto_map", "task_names"}}
    rope = config.get("rope_parameters") or {
        "rope_type": "default",
        **({"rope_theta": config["rope_theta"]} if "rope_theta" in config else {}),
    }
    ours |= {"model_type": kind, "architectures": [architecture], "rope_parameters": rope}
    pooling = {"word_embedding_dimension": config["hidden_size"], "pooling_mode": "lasttoken"}
    return {
        "config.json": json.dumps(ours),
        "modules.json": json.dumps(
            [
                _TRANSFORMER,
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{_HERE}.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{_HERE}.Normalize"},
            ]
        ),
        "1_Pooling/config.json": json.dumps(pooling),
        "2_Normalize/config.json": "{}",
    }


def _gemma2(text_config: dict[str, Any], folder: Path) -> dict[str, str | None]:
    """Return the files of EmbeddingGemma 2 without the parts for images and sound.

    Those parts need libraries for images, and would only take memory. Its use of a chat template
    ("message") is unchanged.
    """
    tokenizer = read_saved(folder / "tokenizer_config.json") or {}
    saved: dict[str, Any] = read_saved(folder / "sentence_bert_config.json") or {}
    modalities = saved.get("modality_config")
    if isinstance(modalities, dict):
        read = {name: way for name, way in modalities.items() if name in {"text", "message"}}
        saved["modality_config"] = read
    saved["model_kwargs"] = {"key_mapping": {r"^(model\.)?language_model\.": ""}}
    return {
        "config.json": json.dumps({**text_config, "architectures": ["EmbeddingGemma2TextModel"]}),
        "sentence_bert_config.json": json.dumps(saved),
        "tokenizer_config.json": json.dumps(
            {key: value for key, value in tokenizer.items() if key != "processor_class"}
        ),
        **dict.fromkeys(_PROCESSORS),
    }


_PROCESSORS = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)


def _tensor_names(folder: Path) -> list[str]:
    from safetensors import safe_open

    names: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            names += tensors.keys()
    return names

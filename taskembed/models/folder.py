"""What the folder of a model holds: modules, weights, configuration, prompts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskembed.errors import ModelUnavailableError, from_os_error
from taskembed.models.saved_json import read_saved, read_saved_list

MOST_MODULES = 1_000


def saved_prompts(folder: Path) -> Mapping[str, str]:
    """Return the prompts that a model brings in config_sentence_transformers.json, by name."""
    prompts = _saved(folder).get("prompts", {})
    items = prompts.items() if isinstance(prompts, dict) else ()
    return {key: text for key, text in items if isinstance(text, str)}


def saved_modules(folder: Path) -> list[dict[str, Any]]:
    """Return what modules.json lists; nothing when there is none.

    Raises:
        ModelUnavailableError: it lists something else.
    """
    modules = read_saved_list(folder / "modules.json")
    if len(modules) > MOST_MODULES:
        raise ModelUnavailableError(
            f"{folder / 'modules.json'} lists {len(modules):,} modules",
            hint="download the model again: no model has so many",
        )
    return modules


def saved_suffix(folder: Path) -> str:
    """Return what a model says there must be put after every text (zEmbed-1); "" for nothing."""
    suffix = _saved(folder).get("suffix", "")
    return suffix if isinstance(suffix, str) else ""


def _saved(folder: Path) -> dict[str, object]:
    return read_saved(folder / "config_sentence_transformers.json") or {}


def require_safetensors(name: str, folder: Path) -> None:
    """Refuse a model, or a module of it (a Dense in its folder), that is only a pickle."""
    places = module_folders(folder)
    pickle = next(
        (
            path
            for place in places
            for path in sorted(place.glob("*.bin"))
            if not any(place.glob("*.safetensors")) and not path.with_suffix(".xml").exists()
        ),
        None,
    )
    has_weights = any(path for place in places for path in place.glob("*.safetensors"))
    if has_weights and pickle is None:
        return
    only = pickle.relative_to(folder) if pickle else None
    why = f"only {only}, a pickle, which can run code when it is loaded" if only else "none"
    hint = "convert it with its author's tools, or name another model"
    if pickle is None and (exported := _exported(folder)):
        why = f"only {exported.relative_to(folder)}, which was made for another library"
        hint = "name the repository that it was made from"
    raise ModelUnavailableError(
        f"the model {name!r} has no weights as safetensors: there is {why}", hint=hint
    )


def _exported(folder: Path) -> Path | None:
    """Return the weights that another library's format has; OpenVINO's are a pair of files."""
    found = (path for end in ("*.onnx", "*.gguf", "openvino*.xml") for path in folder.rglob(end))
    return next(found, None)


def module_folders(folder: Path) -> list[Path]:
    """Return the folders of a model's modules, its own first, a router's branches too.

    A router's configuration has a name of its own; as Asym, once, it had that of every module.
    """
    listed = [
        (str(item.get("path", "")), str(item.get("type", ""))) for item in saved_modules(folder)
    ]
    inside = [pair for pair in listed if not {"..", "/"} & set(Path(pair[0]).parts)]
    own = {folder, *folder.glob("[0-9]*_*"), *(folder / path for path, _ in inside)}
    routers = {path.parent for path in folder.glob("**/router_config.json")}
    routers |= {folder / path for path, kind in inside if kind.endswith((".Asym", ".Router"))}
    branches = {path for router in routers if router.is_dir() for path in router.iterdir()}
    # a path that can be no path is no folder: Path.is_dir would raise
    found = sorted(path for path in own | routers | branches if os.path.isdir(path))  # noqa: PTH112
    return [path for path in found if not _is_left_out(path.relative_to(folder))]


def renders_chat(folder: Path) -> bool:
    """Tell whether a model's texts are put into its chat template, which has a file of its own."""
    saved = (read_saved(path) or {} for path in folder.rglob("sentence_bert_config.json"))
    return any("message" in str(config.get("modality_config")) for config in saved)


def model_files(folder: Path, *, with_code: bool = False) -> list[Path]:
    """Return the files of a model that can move a vector, sorted.

    Raises:
        StorageError: a folder cannot be read.
        AccessDeniedError: a folder may not be read.
    """
    suffixes = {".safetensors", ".json", ".txt", ".model"} | ({".py"} if with_code else set())
    suffixes |= {".jinja"} if renders_chat(folder) else set()
    return [path for path in all_files(folder) if _matters(path, folder, suffixes)]


def all_files(folder: Path) -> list[Path]:
    """Return the files in a folder and those below it, sorted.

    Raises:
        StorageError: one of the folders cannot be read; a file would be left out in silence.
        AccessDeniedError: one of them may not be read.
    """

    def refuse(error: OSError) -> None:
        raise from_os_error(error, str(error.filename or folder)) from error

    return sorted(
        Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names
    )


def _matters(path: Path, folder: Path, suffixes: set[str]) -> bool:
    """Tell whether a file can move a vector: weights, configuration and tokenizer can."""
    relative = path.relative_to(folder)
    if _is_left_out(relative):
        return False
    return path.suffix in suffixes and path.is_file()


def _is_left_out(relative: Path) -> bool:
    first = relative.parts[0] if relative.parts else ""
    return first in {"onnx", "openvino", "coreml"} or first.startswith(".")

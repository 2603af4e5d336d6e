"""Reads the folder of a model: its modules, weights, configuration and prompts.

    tree = walk(folder)
    model_files(tree)    # the files that can change a vector

A folder is listed once; the functions here work on the resulting `Tree`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from taskembed.errors import ModelUnavailableError, from_os_error
from taskembed.models.saved_json import read_saved, read_saved_list

MOST_MODULES = 1_000
MODULES = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
_EXPORTED = ("*.onnx", "*.gguf", "openvino*.xml")  # weights in other libraries' formats


@dataclass(frozen=True, slots=True)
class Tree:
    """The files and folders of a model; both are sorted."""

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]  # without the root

    def named(self, pattern: str) -> list[Path]:
        """Return the files whose names match a pattern such as "*.safetensors"."""
        return [path for path in self.files if fnmatch(path.name, pattern)]


def walk(root: Path) -> Tree:
    """Return the files and folders below a folder.

    Raises:
        StorageError: a folder cannot be read.
        AccessDeniedError: a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise from_os_error(error, str(error.filename or root)) from error

    files: list[Path] = []
    folders: list[Path] = []
    for place, folder_names, file_names in os.walk(root, onerror=refuse):
        files += [Path(place, name) for name in file_names]
        folders += [Path(place, name) for name in folder_names]
    return Tree(root, tuple(sorted(files)), tuple(sorted(folders)))


@dataclass(frozen=True, slots=True)
class SavedPrompts:
    """The prompts and the suffix in a model's config_sentence_transformers.json.

    Attributes:
        prompts: the prompts, by name.
        suffix: the suffix of every text (zEmbed-1); "" for none.
    """

    prompts: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


def saved_prompts(folder: Path) -> SavedPrompts:
    """Return the prompts and the suffix that a model's files define."""
    saved = read_saved(folder / _SETTINGS) or {}
    prompts, suffix = saved.get("prompts", {}), saved.get("suffix", "")
    items = prompts.items() if isinstance(prompts, dict) else ()
    return SavedPrompts(
        prompts={key: text for key, text in items if isinstance(text, str)},
        suffix=suffix if isinstance(suffix, str) else "",
    )


def saved_modules(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of modules.json; an empty list if there is no such file.

    Raises:
        ModelUnavailableError: the file is not a list of objects, or is too long.
    """
    modules = read_saved_list(folder / MODULES)
    if len(modules) > MOST_MODULES:
        raise ModelUnavailableError(
            f"{folder / MODULES} lists {len(modules):,} modules",
            hint="download the model again: no model has that many",
        )
    return modules


def module_folders(tree: Tree) -> list[Path]:
    """Return the folders of a model's modules, including a router's branches; its own comes first.

    The branches are listed in router_config.json for a Router, and in config.json for the older
    Asym.

    Raises:
        ModelUnavailableError: modules.json is not JSON, or lists too many modules.
    """
    root = tree.root
    listed = [
        (str(item.get("path", "")), str(item.get("type", ""))) for item in saved_modules(root)
    ]
    inside = [pair for pair in listed if not {"..", "/"} & set(Path(pair[0]).parts)]
    numbered = {
        path for path in tree.folders if path.parent == root and fnmatch(path.name, "[0-9]*_*")
    }
    own = {root, *numbered, *(root / path for path, _ in inside)}
    routers = {path.parent for path in tree.named("router_config.json")}
    routers |= {root / path for path, kind in inside if kind.endswith((".Asym", ".Router"))}
    branches = {path for router in routers if router.is_dir() for path in router.iterdir()}
    # an impossible path is not a folder; Path.is_dir would raise an error
    places = sorted(path for path in own | routers | branches if os.path.isdir(path))  # noqa: PTH112
    return [path for path in places if not _is_left_out(path.relative_to(root))]


def require_safetensors(name: str, tree: Tree) -> None:
    """Refuse a model if its weights, or those of a module such as Dense, exist only as a pickle."""
    places = module_folders(tree)
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
    only = pickle.relative_to(tree.root) if pickle else None
    why = f"only {only}, a pickle, which can run code when it is loaded" if only else "none"
    hint = "convert it with its author's tools, or name another model"
    exported = [path for pattern in _EXPORTED for path in tree.named(pattern)]
    if pickle is None and exported:
        relative = exported[0].relative_to(tree.root)
        why = f"only {relative}, which is for another library"
        hint = "name the repository that it was converted from"
    raise ModelUnavailableError(
        f"the model {name!r} has no weights as safetensors: there is {why}", hint=hint
    )


def renders_chat(tree: Tree) -> bool:
    """Return whether texts are put into the model's chat template."""
    saved = (read_saved(path) or {} for path in tree.named("sentence_bert_config.json"))
    return any("message" in str(config.get("modality_config")) for config in saved)


def model_files(tree: Tree, *, with_code: bool = False) -> list[Path]:
    """Return the files of a model that can change a vector, sorted."""
    suffixes = {".safetensors", ".json", ".txt", ".model"} | ({".py"} if with_code else set())
    suffixes |= {".jinja"} if renders_chat(tree) else set()
    return [
        path
        for path in tree.files
        if path.suffix in suffixes
        and not _is_left_out(path.relative_to(tree.root))
        and path.is_file()
    ]


def _is_left_out(relative: Path) -> bool:
    first = relative.parts[0] if relative.parts else ""
    return first in {"onnx", "openvino", "coreml"} or first.startswith(".")

"""Downloads repositories from the Hugging Face hub, and finds what is on this machine already."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from taskembed.activity import doing
from taskembed.errors import ModelUnavailableError, first_line
from taskembed.models.folder import MODULES, Tree, saved_modules, walk
from taskembed.models.saved_json import read_saved

# files of a model: weights as safetensors only, configuration, tokenizer; no pickles and no code
NEEDED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
# files of its configuration, of some kilobytes, which are enough for most checks
DESCRIBING = ("*config*.json", MODULES)
_UNWANTED = ("onnx/*", "openvino/*", "coreml/*", "*/onnx/*", ".*")


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a Hugging Face repository: owner/name."""
    parts = name.split("/")
    return len(parts) == 2 and all(  # noqa: PLR2004  # owner/name
        part
        and not part.startswith((".", "-"))
        and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for part in parts
    )


def hub_tree(
    name: str,
    revision: str | None,
    wanted: Sequence[str],
    *,
    offline: bool,
    notify: Callable[[str], None],
    kind: str = "model",
) -> Tree:
    """Return the files of a repository, downloading those that are not on this machine.

    Args:
        name: the name of the repository.
        revision: a branch, tag or commit; None for the main branch.
        wanted: patterns of the needed files.
        offline: whether the network is never used.
        notify: called with a sentence before a download.
        kind: "model" or "adapter", for messages.

    Raises:
        ModelUnavailableError: the repository is not on this machine and cannot be downloaded.
    """
    from huggingface_hub import constants  # 0.2 s
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    tree = None
    with contextlib.suppress(OSError, ValueError, HFValidationError):
        tree = walk(_snapshot(name, revision, wanted, local_only=True))
    stays_offline = offline or constants.HF_HUB_OFFLINE  # the setting of the hub's library
    if tree and (_is_whole(name, tree) or (stays_offline and wanted == DESCRIBING)):
        return tree
    if stays_offline:
        here = f"only a part of the {kind} {name!r} is" if tree else f"the {kind} {name!r} is not"
        raise ModelUnavailableError(
            f"{here} on this machine, and the network may not be used",
            hint=f"download it once with network access: hf download {name}",
        )
    notify(f"downloading the {kind} {name}")
    try:
        with doing(f"downloading the {kind} {name}", shows_itself=True):
            folder = _snapshot(name, revision, wanted, local_only=False)
            _note_missing_modules(name, folder)
            return walk(folder)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelUnavailableError(
            f"the {kind} {name!r} cannot be downloaded: {first_line(error)}",
            hint="check the name and the network, or name a folder",
        ) from error


def _snapshot(name: str, revision: str | None, wanted: Sequence[str], *, local_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(wanted),
            ignore_patterns=list(_UNWANTED),
            local_files_only=local_only,
        )
    )


def _note_missing_modules(name: str, folder: Path) -> None:
    """Make the hub's library cache the fact that a repository has no modules.json."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    if not (folder / MODULES).exists():
        with contextlib.suppress(OSError, ValueError, HfHubHTTPError):  # "there is no such file"
            hf_hub_download(name, MODULES, revision=folder.name)


def _is_whole(name: str, tree: Tree) -> bool:
    """Return whether all files that a model needs are on this machine.

    Another library may have downloaded some of them: transformers omits modules.json, without which
    a model would use mean pooling, whatever it was trained with.
    """
    folder = tree.root
    listed = [
        index.parent / shard
        for index in tree.named("*.safetensors.index.json")
        for shard in _shards(index)
    ]
    if not all(path.exists() for path in listed) or not tree.named("*.safetensors"):
        return False
    if (folder / MODULES).exists():
        return all(path.is_dir() for path in _needed_module_folders(folder))
    is_adapter = (folder / "adapter_config.json").exists()
    return is_adapter or (folder / ".gitattributes").exists() or _has_no_modules(name, folder)


def _needed_module_folders(folder: Path) -> list[Path]:
    """Return the folders of the modules that have files; git does not store empty folders."""
    return [
        folder / str(module.get("path", ""))
        for module in saved_modules(folder)
        if not str(module.get("type", "")).endswith(".Normalize")
    ]


def _has_no_modules(name: str, folder: Path) -> bool:
    """Return whether the hub's library has cached that a repository has no modules.json."""
    from huggingface_hub import try_to_load_from_cache

    known = try_to_load_from_cache(name, MODULES, revision=folder.name)
    return known is not None and not isinstance(known, str)


def _shards(index: Path) -> set[str]:
    weight_map = (read_saved(index) or {}).get("weight_map")
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    return {name for name in names if isinstance(name, str)}

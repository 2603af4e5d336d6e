"""Downloads from the Hugging Face hub, and what of a repository is on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from taskembed.activity import doing
from taskembed.errors import ModelUnavailableError, first_line
from taskembed.models.folder import saved_modules
from taskembed.models.saved_json import read_saved

# What a model needs: weights as safetensors only, configuration, tokenizer. No pickle, no code.
NEEDED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
# What a model says of itself: kilobytes, from which most refusals follow.
MODULES = "modules.json"
DESCRIBING = ("*config*.json", MODULES)
_UNWANTED = ("onnx/*", "openvino/*", "coreml/*", "*/onnx/*", ".*")


def is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(  # noqa: PLR2004  # owner/name
        part
        and not part.startswith((".", "-"))
        and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for part in parts
    )


def hub_folder(
    name: str,
    revision: str | None,
    wanted: Sequence[str],
    *,
    offline: bool,
    notify: Callable[[str], None],
) -> Path:
    from huggingface_hub import snapshot_download  # 0.2 s
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def download(*, local_only: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(wanted),
                ignore_patterns=list(_UNWANTED),
                local_files_only=local_only,
            )
        )

    folder = None
    with contextlib.suppress(OSError, ValueError, HFValidationError):
        folder = download(local_only=True)
    stays_offline = offline or os.environ.get("HF_HUB_OFFLINE") == "1"  # the hub's own setting
    if folder and (_is_whole(name, folder) or (stays_offline and wanted == DESCRIBING)):
        return folder
    if stays_offline:
        here = f"only a part of the model {name!r} is" if folder else f"the model {name!r} is not"
        raise ModelUnavailableError(
            f"{here} on this machine, and the network is not to be used",
            hint=f"download it once where there is a network: hf download {name}",
        )
    notify(f"downloading the model {name}")
    try:
        with doing(f"downloading the model {name}", shows_itself=True):
            folder = download(local_only=False)
            _note_missing_modules(name, folder)
            return folder
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = first_line(error)
        raise ModelUnavailableError(
            f"the model {name!r} cannot be downloaded: {reason}",
            hint="check the name and the network, or give a folder",
        ) from error


def _note_missing_modules(name: str, folder: Path) -> None:
    """Have the hub's library remember of a repository that it has no modules.json."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    if not (folder / MODULES).exists():
        with contextlib.suppress(OSError, ValueError, HfHubHTTPError):  # "there is no such file"
            hf_hub_download(name, MODULES, revision=folder.name)


def _is_whole(name: str, folder: Path) -> bool:
    """Tell whether all that a model needs is here.

    Another library may have downloaded a part: transformers leaves out modules.json, without which
    a model is pooled by the mean, whatever it was trained with.
    """
    listed = [
        index.parent / shard
        for index in folder.rglob("*.safetensors.index.json")
        for shard in _shards(index)
    ]
    if not all(path.exists() for path in listed) or not any(folder.rglob("*.safetensors")):
        return False
    if (folder / MODULES).exists():
        return all(path.is_dir() for path in _needed_module_folders(folder))
    is_adapter = (folder / "adapter_config.json").exists()
    return is_adapter or (folder / ".gitattributes").exists() or _has_no_modules(name, folder)


def _needed_module_folders(folder: Path) -> list[Path]:
    """Return the folders of the modules that have files; git knows no empty ones."""
    return [
        folder / str(module.get("path", ""))
        for module in saved_modules(folder)
        if not str(module.get("type", "")).endswith(".Normalize")
    ]


def _has_no_modules(name: str, folder: Path) -> bool:
    """Tell whether the hub's library remembers that the repository has no modules.json."""
    from huggingface_hub import try_to_load_from_cache

    known = try_to_load_from_cache(name, MODULES, revision=folder.name)
    return known is not None and not isinstance(known, str)


def _shards(index: Path) -> set[str]:
    weight_map = (read_saved(index) or {}).get("weight_map")
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    return {name for name in names if isinstance(name, str)}

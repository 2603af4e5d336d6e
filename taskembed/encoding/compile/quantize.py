"""Quantises models to int8 for the CPU engine with NNCF, and measures the loss.

NNCF runs the model on the texts of calibration.txt to find the range of the numbers in each layer.
The texts are part of this package, so the result is the same on every machine. Imports torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata, resources
from typing import Any

import numpy as np

from taskembed.encoding._batches import Batch, batches
from taskembed.encoding.cache import CompiledModel
from taskembed.encoding.compile.convert import to_openvino
from taskembed.encoding.compile.encoders import Loaded
from taskembed.encoding.compile.quiet import quiet
from taskembed.encoding.engines.openvino import OpenVinoEngine, compile_blob
from taskembed.encoding.tokens import PromptTokenizer, load_tokenizer
from taskembed.errors import ModelUnavailableError
from taskembed.extras import INT8, require_extra
from taskembed.space import PromptType
from taskembed.vectors import FloatRows, Rows

MOST_LOST = 0.005  # largest accepted loss of nDCG@10
CALIBRATION_TOKENS = 256  # tokens in a batch, so that ranges are means over some dozens of batches
DEPTH = 10  # depth of the compared rankings
_LONG_TEXTS, _JOINED = 18, 12  # number of long texts; short texts joined in each
_SEPARATOR = "\n%%\n"


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of int8 with fp32 on the calibration texts.

    Attributes:
        mean: mean cosine between the two vectors of a text.
        least: smallest cosine.
        lost: 1 - nDCG@10 of the rankings, see `agreement`.
    """

    mean: float
    least: float
    lost: float


def quantize(
    loaded: Loaded, plain: CompiledModel, name: str, side: PromptType | None
) -> CompiledModel:
    """Return the int8 form of a model.

    Args:
        loaded: the model in memory.
        plain: its form in fp32.
        name: the name of the model, for messages.
        side: the side, if queries and documents have different models; otherwise None.

    Raises:
        ModelUnavailableError: int8 changes its rankings too much.
        MissingLibraryError: NNCF is not installed.
    """
    made = _batches(plain, side or PromptType.DOCUMENT)
    blob = memoryview(_quantized(loaded, made))
    found = agreement(_vectors(plain.blob, made, "fp32"), _vectors(blob, made, "int8"))
    if not found.lost <= MOST_LOST:
        raise ModelUnavailableError(
            f"{name} loses {found.lost:.4f} nDCG@10 in int8 on the calibration texts, measured "
            f"against fp32; at most {MOST_LOST} is allowed",
            hint="leave out --precision: auto is the fastest precision without loss",
        )
    version = metadata.version("nncf")
    record = (
        f"int8 by nncf {version}, calibration texts {calibration_digest()[:8]}; cosine to fp32 "
        f"mean {found.mean:.4f}, least {found.least:.4f}; nDCG@10 lost {found.lost:.4f}"
    )
    facts = replace(plain.encoder_facts, quantized=record)
    return CompiledModel(facts, plain.tokenizer_json, blob)


def agreement(exact: FloatRows, quantized: FloatRows) -> Agreement:
    """Compare the vectors of texts in fp32 and in int8, with each text as a query for the others.

    The gain of a text for a query is its fp32 cosine, scaled to 0 for the mean of all texts and 1
    for the best text, and squared. The loss is 1 - nDCG@10 of the int8 ranking: 0 if both rank the
    best ten texts in the same order. Exchanging texts of almost equal cosine costs almost nothing.

    Args:
        exact: float32[n, dim], the vectors in fp32.
        quantized: float32[n, dim], the vectors in int8.
    """
    exact, quantized = _unit(exact), _unit(quantized)
    cosines = (exact * quantized).sum(axis=1)
    own, other = exact @ exact.T, quantized @ quantized.T
    others = ~np.eye(len(own), dtype=bool)
    own, other = (scores[others].reshape(len(own), -1) for scores in (own, other))
    mean, best = own.mean(axis=1, keepdims=True), own.max(axis=1, keepdims=True)
    worth = np.clip((own - mean) / np.maximum(best - mean, 1e-9), 0, None) ** 2
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))

    def gained(scores: FloatRows) -> Any:  # noqa: ANN401  # float[n]
        first = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        return np.take_along_axis(worth, first, axis=1) @ discounts[: first.shape[1]]

    most = gained(own)
    kept = gained(other)[most > 0] / most[most > 0]  # without a loss if all texts are equal
    lost = 1 - float(kept.mean()) if len(kept) else 0.0
    return Agreement(float(cosines.mean()), float(cosines.min()), lost)


@cache
def calibration_texts() -> tuple[str, ...]:
    """Return the calibration texts of this package, and long texts joined from them."""
    text = resources.files(__package__).joinpath("calibration.txt").read_text("utf-8")
    short = text.strip().split(_SEPARATOR)
    long = (
        " ".join(short[(7 * number + at) % len(short)] for at in range(_JOINED))
        for number in range(_LONG_TEXTS)
    )
    return (*short, *long)


def calibration_digest() -> str:
    """Return the sha256 of the calibration texts."""
    return hashlib.sha256("\0".join(calibration_texts()).encode()).hexdigest()


def _batches(plain: CompiledModel, side: PromptType) -> list[Batch]:
    """Return the calibration texts as batches, without a prompt, longest first."""
    facts = plain.encoder_facts
    tokenizer = PromptTokenizer(
        load_tokenizer(plain.tokenizer_json),
        prompt="",
        max_length=facts.length(side),
        special_tokens=facts.special_tokens,
        cut_left=facts.cut_left,
        chat=facts.chat(side),
    )
    tokens = [item for item in tokenizer.tokenize(calibration_texts()) if item.ids]
    items = sorted(enumerate(tokens), key=lambda item: len(item[1].ids), reverse=True)
    return list(batches(iter(items), CALIBRATION_TOKENS))


def _quantized(loaded: Loaded, made: Sequence[Batch]) -> bytes:
    """Return the int8 blob of a loaded model.

    Raises:
        MissingLibraryError: NNCF is not installed.
        RuntimeError: OpenVINO cannot convert the model, although it could before.
    """
    converted = to_openvino(loaded.model, loaded.facts.max_length)
    if converted.model is None:
        raise RuntimeError(converted.reason)
    with _silent():
        nncf = require_extra("nncf", INT8)
        nncf.set_log_level(logging.ERROR)
        quantized = nncf.quantize(
            converted.model,
            nncf.Dataset([batch.inputs for batch in made]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(made),
        )
    return compile_blob(quantized)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Import and run NNCF without its telemetry, its progress bars and its class of loggers."""
    # NNCF reports its use over the network if this package can be imported: see engines/openvino.py
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # not importable
    loggers = logging.getLoggerClass()
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.setLoggerClass(loggers)


def _vectors(blob: memoryview, made: Sequence[Batch], precision: str) -> FloatRows:
    """Return float32[n, dim], the vectors of all texts of the batches."""
    engine = OpenVinoEngine(blob, precision=precision, threads=None, one_query=False)
    done: list[tuple[Rows, FloatRows]] = [
        (batch.rows, vectors) for batch, vectors in engine.run(iter(made))
    ]
    order = np.concatenate([rows for rows, _ in done])
    vectors = np.concatenate([vectors for _, vectors in done])
    return np.ascontiguousarray(vectors[np.argsort(order)])


def _unit(vectors: FloatRows) -> FloatRows:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

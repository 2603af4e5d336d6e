"""The CPU engine: OpenVINO runs a compiled blob, without torch.

benchmarks/encode.py compares it with torch on the same cores.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.encoding._batches import Batch

# OpenVINO sends telemetry if the package openvino_telemetry can be imported. If the import fails,
# OpenVINO sends nothing, and starts 30 ms sooner.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: not importable

# Importing its conversion of models, which a search does not need, would double the time.
_CONVERSION = "openvino.tools.ovc"
_IS_FIRST = "openvino" not in sys.modules
if _IS_FIRST:
    sys.modules[_CONVERSION] = None  # type: ignore[assignment]

import openvino  # noqa: E402  # after the lines above


def _convert_model(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # theirs
    from openvino.tools.ovc import convert_model

    return convert_model(*arguments, **options)


if _IS_FIRST:
    del sys.modules[_CONVERSION]
    openvino.convert_model = _convert_model

# Subtle: one for the life of the process. With its first model, a Core gives the thread that loads
# the model a stack for signal handlers, and frees it with itself and its last model. If another
# thread dropped that model, the next signal would kill the process (SIGSEGV).
_CORE = openvino.Core()

PRECISIONS = {"bf16": "bf16", "fp16": "f16", "fp32": "f32"}
# tokens in a batch: 32,200 tokens/s, against 31,200 with 2,048 and 29,500 with 4,096
TOKEN_BUDGET = 1_024
WARMING_TOKENS = 4  # any small number


class OpenVinoEngine:
    """A compiled model on the CPU.

    Args:
        blob: the output of `compile_blob`.
        precision: "auto", "fp32", "bf16", "fp16"; auto is bf16 where the CPU computes with it.
            "int8" for the blob of a quantised model; its other operations run as with auto.
        threads: number of threads; None for every core that the process may use.
        one_query: whether to optimise for one short text rather than for many.
    """

    name = "openvino"
    token_budget = TOKEN_BUDGET

    def __init__(
        self, blob: memoryview, *, precision: str, threads: int | None, one_query: bool
    ) -> None:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if one_query else "THROUGHPUT",
        }
        if precision in PRECISIONS:
            settings["INFERENCE_PRECISION_HINT"] = PRECISIONS[precision]
        if one_query:  # a thread bound to one core waits while others use it
            settings["ENABLE_CPU_PINNING"] = False
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._blob = blob  # the compiled model reads its weights from there
        data = np.frombuffer(blob, np.uint8)
        # OpenVINO copies read-only memory, although it never writes to it
        tensor = openvino.Tensor(data, shared_memory=data.flags.writeable)
        self._model = _CORE.import_model(tensor, "CPU", settings)
        element = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        computed = {"f32": "fp32", "f16": "fp16"}.get(element, element)
        self.precision = precision if precision == "int8" else computed
        if one_query:
            self._warm_up()

    def _warm_up(self) -> None:
        """Run the model once, since its first run prepares weights and generates code.

        This takes 0.04 s; a search does it in a thread while it reads the index.
        """
        tokens = np.ones((1, WARMING_TOKENS), np.int64)
        self._model.create_infer_request().infer([tokens] * len(self._model.inputs))

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, npt.NDArray[np.float32]]]:
        """Yield each batch with float32[n, dim], in any order."""
        # Subtle: OpenVINO's AsyncInferQueue calls Python from its threads, and joins them while it
        # holds the interpreter's lock: one exit in five hung or aborted. Waiting for requests in
        # turn needs no callbacks, and keeps every stream as busy.
        count = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle = [self._model.create_infer_request() for _ in range(count)]
        running: deque[tuple[Batch, Any]] = deque()
        try:
            for batch in batches:
                if not idle:
                    yield self._finished(running, idle)
                request = idle.pop()
                request.start_async(batch.inputs)
                running.append((batch, request))
            while running:
                yield self._finished(running, idle)
        finally:
            # the caller may stop early; running requests must be completed
            for _, request in running:
                request.wait()

    @staticmethod
    def _finished(
        running: deque[tuple[Batch, Any]], idle: list[Any]
    ) -> tuple[Batch, npt.NDArray[np.float32]]:
        """Wait for the oldest request."""
        batch, request = running.popleft()
        request.wait()
        vectors = request.get_output_tensor(0).data.copy()
        idle.append(request)
        return batch, vectors


def engine_version() -> str:
    """Return the versions and the processor that a blob depends on."""
    return f"openvino {openvino.get_version()}"


def convert_module(model: Any, example: tuple[Any, ...] | None) -> Any:  # noqa: ANN401  # theirs
    """Convert a torch module, traced on `example`, or a torch.export program, to OpenVINO's model.

    Raises:
        Exception: whatever the conversion of an unusual model raises.
    """
    return openvino.convert_model(model, **({"example_input": example} if example else {}))


def compile_blob(converted: Any) -> bytes:  # noqa: ANN401  # OpenVINO's
    """Compile OpenVINO's model to a blob.

    Raises:
        Exception: whatever the compilation of an unusual model raises.
    """
    compiled = _CORE.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exported = compiled.export_model()
    return bytes(exported if isinstance(exported, bytes) else exported.getvalue())

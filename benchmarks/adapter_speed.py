"""The speed of encoding with an adapter over that without: adapters are merged, so it should be 1.

python benchmarks/adapter_speed.py CORPUS...
"""

from __future__ import annotations

import statistics
import sys
import time

from common import machine, read

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task

TEXTS = 3000
ROUNDS = 7


def main() -> None:
    texts = [document.text for document in read(sys.argv[1:], TEXTS)]
    settings = EngineSettings(offline=True)
    encoders = {
        name: load_encoder("minilm", Task.RETRIEVAL, stated=stated, settings=settings)
        for name, stated in {
            "adapter": PromptOverrides(),
            "none": PromptOverrides(adapter=""),
        }.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for turn in range(ROUNDS + 1):  # the first round warms up
        for name, encoder in encoders.items():
            started = time.perf_counter()
            encoder.encode(texts, PromptType.DOCUMENT)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    ratios = [one / other for one, other in zip(seconds["adapter"], seconds["none"], strict=True)]
    print(machine())
    for name, times in seconds.items():
        print(f"{name}: median {statistics.median(times):.2f} s for {len(texts):,} texts")
    print(f"with / without, in pairs: median {statistics.median(ratios):.3f}, all {sorted(ratios)}")


if __name__ == "__main__":
    main()

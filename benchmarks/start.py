"""The time of `taskembed --help` and of a usage error, as processes, compared with bare Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import machine

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "taskembed --help": ["-m", "taskembed", "--help"],
    "taskembed index --help": ["-m", "taskembed", "index", "--help"],
    "taskembed search (usage error)": ["-m", "taskembed", "search"],
}


def main() -> None:
    print(machine())
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(11):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
            times[name].append(time.perf_counter() - started)
    for name, seconds in times.items():
        print(f"{name:32} median {statistics.median(seconds):.3f} s, min {min(seconds):.3f} s")


if __name__ == "__main__":
    main()

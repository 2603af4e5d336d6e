"""Requests to a running `taskembed mcp`: the time of each, as an agent sees it.

python benchmarks/mcp.py CORPUS... [--count 10000] [--rounds 300]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

# this file is called as the library is
sys.path = [name for name in sys.path if Path(name or ".").resolve() != Path(__file__).parent]

import anyio  # noqa: E402
import numpy as np  # noqa: E402
from mcp import Client, StdioServerParameters  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402

sys.path.append(str(Path(__file__).parent))
from common import machine, read, write_jsonl  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    documents = read(arguments.corpus, arguments.count)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(documents, folder / "corpus.jsonl")
        index = folder / "index"
        taskembed = [sys.executable, "-m", "taskembed"]
        build = ["index", folder / "corpus.jsonl", "--task", "retrieval", "--index", index, "-q"]
        subprocess.run([*taskembed, *map(str, build)], check=True)
        queries = [" ".join(document.text.split()[5:17]) or "x" for document in documents[:1000]]
        anyio.run(partial(measure, [*taskembed, "mcp", str(index)], queries, arguments.rounds))
    print(machine())


async def measure(command: list[str], queries: list[str], rounds: int) -> None:
    started = time.perf_counter()
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with Client(stdio_client(server)) as client:
        print(f"connect: {time.perf_counter() - started:.2f} s")
        requests = {
            "search (both)": lambda query: ("search", {"query": query}),
            "search (dense)": lambda query: ("search", {"query": query, "mode": "dense"}),
            "search (words)": lambda query: ("search", {"query": query, "mode": "words"}),
            "get": lambda query: ("get", {"doc_id": f"{queries.index(query):06}"}),
            "indexes": lambda _: ("indexes", {}),
        }
        for label, request in requests.items():
            times = []
            sizes = []
            for number in range(rounds + 10):
                started = time.perf_counter()
                answer = await client.call_tool(*request(queries[number % len(queries)]))
                times.append(time.perf_counter() - started)
                assert not answer.is_error, answer.content
                sizes.append(len(answer.content[0].text.encode()))
            first, values = times[0], np.array(times[10:]) * 1000
            p50, p99 = np.percentile(values, [50, 99])
            print(
                f"{label:15} first {first * 1000:6.0f} ms   p50 {p50:5.1f} ms   p99 {p99:5.1f} ms"
                f"   text {np.mean(sizes):5.0f} bytes"
            )


if __name__ == "__main__":
    main()

"""Reading a corpus from an S3 server on loopback, beside the same corpus on the disk.

python benchmarks/object_store.py [--documents 100000] [--rounds 3]

Each reading is a process of its own: the reader alone, without encoding. The server is moto's, in
Python, so the rates are a lower bound on those of a real server, and say what the reader itself
costs; a network adds its own time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine

from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile

FORMATS = ("jsonl", "jsonl.gz", "csv", "parquet")
BUCKET = "corpus"


def write_corpus(folder: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(20_000)]
    rows = [
        {"id": f"d{number}", "text": " ".join(chance.choices(words, k=150)), "year": number % 30}
        for number in range(count)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "c.jsonl").write_bytes(lines)
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines, 1))
    with (folder / "c.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "c.parquet", row_group_size=10_000)


def read_once(place: str) -> None:
    started = time.perf_counter()
    found = find_inputs([place])
    count = sum(1 for _ in read_corpus(found, RecordFields(), on_bad=RejectFile()))
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()  # not getrusage, which counts the parent too
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"documents": count, "seconds": seconds, "peak": peak}))


def measured(place: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", place]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    value: dict[str, float] = json.loads(done.stdout)
    return value


def serve() -> str:
    """Start the server and return its address; the environment then names it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    return os.environ["AWS_ENDPOINT_URL"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        read_once(arguments.child)
        return
    import logging

    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    print(machine())
    client = boto3.client("s3", endpoint_url=serve(), region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    with tempfile.TemporaryDirectory() as name:
        write_corpus(Path(name), arguments.documents)
        for form in FORMATS:
            local, remote = f"{name}/c.{form}", f"s3://{BUCKET}/c.{form}"
            client.upload_file(local, BUCKET, f"c.{form}")
            pairs = [(measured(local), measured(remote)) for _ in range(arguments.rounds)]
            both = [
                tuple(statistics.median(pair[place][what] for pair in pairs) for place in (0, 1))
                for what in ("seconds", "peak")
            ]
            (here, there), (peak_here, peak_there) = both
            print(
                f"{form}: {Path(local).stat().st_size / 1e6:,.0f} MB, "
                f"{arguments.documents / here:,.0f} documents a second here, "
                f"{arguments.documents / there:,.0f} from the server (ratio {here / there:.2f}); "
                f"peak {peak_here:,.0f} and {peak_there:,.0f} MiB",
                flush=True,
            )
    print(machine())


if __name__ == "__main__":
    main()

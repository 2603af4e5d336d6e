"""`taskembed index --engine ray` with fake models that take their time, and say what they did.

    python -m tests.reliability.ray_run LOG SECONDS ARGUMENTS...

Workers append the digest of each text to LOG once its shard is written. A shard has 40 texts, and
takes SECONDS.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from taskembed.cli.main import main
from taskembed.testing import fake_models
from taskembed.vectors import Encoded
from taskembed.verbs.workers import encoder
from taskembed.verbs.workers.job import prepared_by

SHARD_TEXTS = 40


def slow_down(log: str, seconds: float) -> None:
    """Have the workers of this process take their time, and say what they did."""
    from taskembed.verbs.workers import worker
    from taskembed.verbs.workers.shards import text_digest, write_shard

    def slow_write(folder: Path, job: str, texts: Sequence[str], encoded: Encoded) -> str:
        time.sleep(seconds)
        name = write_shard(folder, job, texts, encoded)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, "".join(f"{text_digest(text).hex()}\n" for text in texts).encode())
        os.close(descriptor)
        return name

    setattr(worker, "write_shard", slow_write)  # noqa: B010  # it is not that module's own


if __name__ == "__main__":
    # by its name: a worker finds nothing in `__main__`
    own = import_module("tests.reliability.ray_run")
    prepared_by.append(partial(own.slow_down, sys.argv[1], float(sys.argv[2])))
    encoder.SHARD_TEXTS = SHARD_TEXTS
    sys.argv[1:] = sys.argv[3:]
    with fake_models():
        main()  # it is the whole process: it ends here

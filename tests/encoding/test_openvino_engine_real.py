"""OpenVINO in this process: what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, os, signal, sys, threading
from pathlib import Path
from taskembed import EngineSettings, PromptType, load_encoder

encoders = [load_encoder("minilm", settings=EngineSettings(cache=Path(sys.argv[1])))]
encoders[0].encode(["a text"], PromptType.DOCUMENT)

def drop():
    encoders.clear()
    gc.collect()

thread = threading.Thread(target=drop)
thread.start()
thread.join()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_a_signal_is_handled_after_another_thread_dropped_the_model(cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(cache)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")

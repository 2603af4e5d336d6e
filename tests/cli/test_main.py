"""The process: its streams, its arguments, Ctrl-C; what only another process can see."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskembed.cli._process.interrupt import Interrupt
from tests.cli.support import make_index, start
from tests.conftest import Result, Run

PYTHON = sys.executable


def shell(words: str, *, cache: Path, redirections: str = "", module: str = "taskembed") -> Result:
    """Run `taskembed` by a shell, which can close streams."""
    command = f'"$PYTHON" -m {module} {words} {redirections}'
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PYTHON": PYTHON, "TASKEMBED_CACHE": str(cache)},
        input=b"",
        capture_output=True,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    records = [{"id": "moon", "text": "The Moon orbits the Earth."}]
    return make_index(tmp_path_factory.mktemp("made"), records, cache)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


@pytest.mark.parametrize(
    ("redirections", "words", "code"),
    [
        (">&-", "info", 74),
        (">&-", "info --nonsense", 2),
        (">&-", "--help", 74),
        ("2>&-", "info", 0),
        ("2>&-", "info --nonsense", 2),
        ("<&-", "info", 0),
        (">&- 2>&- <&-", "info", 74),
        (">/dev/full", "--help", 74),
        ("2>/dev/full", "info --nonsense", 2),
    ],
)
def test_closed_and_full_streams_are_no_failure_of_ours(
    folder: Path, cache: Path, redirections: str, words: str, code: int
) -> None:
    where = f" --index {folder}" if words.startswith("info") else ""
    done = shell(words + where, cache=cache, redirections=redirections)
    assert done.code == code
    assert "Traceback" not in done.err
    if redirections == ">&-" and code == 74:
        assert done.err.endswith(": it is closed\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("delete absent", "the documents are deleted"),
        ("delete --dry-run absent", "nothing was deleted"),
        ("compact", "the index is compacted"),
        ("index {corpus}", "the index is up to date"),
        ("index {corpus} --json", "the index is up to date"),
        ("index {corpus} --dry-run", "nothing was written"),
    ],
)
def test_what_is_done_is_said_where_stdout_is_closed(
    folder: Path, corpus: Path, cache: Path, words: str, said: str
) -> None:
    words = f"{words.format(corpus=corpus)} --index {folder}"
    done = shell(words, cache=cache, redirections=">&-", module="taskembed.testing")
    assert done.code == 74
    assert "stdout: it is closed" in done.err
    assert f"only this message is lost: {said}" in done.err


@pytest.mark.slow
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path, cache: Path) -> None:
    """Otherwise a message or a result would go into the index."""
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "one"}\nnot json\n')
    done = shell(
        f"index {corpus} --task retrieval --index {index} --skip-bad",
        cache=cache,
        redirections="<&- >&- 2>&-",
        module="taskembed.testing",
    )
    assert done.code == 74  # the summary had nowhere to go
    assert shell(f"verify --index {index}", cache=cache).code == 0


@pytest.mark.parametrize("words", ["search -", "delete -"])
def test_a_closed_stdin_is_said_when_it_is_to_be_read(
    folder: Path, cache: Path, words: str
) -> None:
    done = shell(f"{words} --index {folder}", cache=cache, redirections="<&-")
    assert done.code == 74
    assert "taskembed: error: stdin: it is closed\n" in done.err


def test_what_reads_help_may_stop() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        process = subprocess.run(
            [PYTHON, "-m", "taskembed", "index", "--help"],
            stdout=stream,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (process.returncode, process.stderr) == (141, b"")


def test_ids_from_stdin_that_are_not_utf8_are_said(folder: Path, cache: Path) -> None:
    done = subprocess.run(
        [PYTHON, "-m", "taskembed", "delete", "-", "--index", folder],
        input=b"\xff\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 65
    assert done.stderr == b"taskembed: error: stdin: the ids are not UTF-8\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["search", "\udcff"], "the argument"),
        (["index", "x.jsonl", "--task", "retrieval", "--template", "\udcff{text}"], "--template"),
        (["index", "x.jsonl", "--id-field", "\udcff"], "--id-field"),
        (["explain", "a\udcffb", "--task", "code"], "the argument"),
        (["search", "x", "--model", "\udcff"], "--model"),
    ],
)
def test_a_word_that_is_not_utf8_is_a_usage_error(
    run: Run, arguments: list[str], name: str
) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"taskembed: error: {name} is not UTF-8: '")
    assert "\\udcff" in done.err


def test_a_file_may_have_any_name(run: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "\udcff.jsonl"
    corpus.write_text('{"id": "a", "text": "one"}\n')
    queries = tmp_path / "q\udcff.jsonl"
    queries.write_text('{"id": "q", "text": "one"}\n')
    index = tmp_path / "i\udcff"
    assert run("index", corpus, "--task", "retrieval", "--index", index).code == 0
    assert run("search", "--queries", queries, "--index", index).lines[0]["doc_id"] == "a"
    assert run("search", "one", "--index", index, "--format", "ids").out == "a\n"
    assert run("info", "--index", index).code == 0
    assert run("info", "--index", index, "--json").code == 0
    corpus.write_text("bad\n")
    refused = run("index", corpus, "--index", index)
    assert (refused.code, "\\udcff.jsonl:1: " in refused.err) == (65, True)


# errors as JSON


def test_a_query_does_not_change_how_errors_look(run: Run, tmp_path: Path) -> None:
    done = run("search", "--index", tmp_path / "none", "--", "--json")
    assert done.err.startswith("taskembed: error: no index at")
    done = run("search", "x", "--index", tmp_path / "none", "--tag", "--json")
    assert done.err.startswith("taskembed: error: no index at")


@pytest.mark.parametrize(
    ("words", "is_json"),
    [
        (("search", "--nonsense", "--json"), True),
        (("search", "--json", "--nonsense"), True),
        (("search", "x", "--json", "-k", "ten"), True),
        (("search", "x", "--json", "--index"), True),
        (("search", "--nonsense", "--", "--json"), False),
        (("search", "x", "-k", "ten", "--tag", "--json"), False),
        (("serch", "x", "--json"), True),
        (("serch", "x", "--", "--json"), False),
        (("cache", "lst", "--json"), True),
        (("--nonsense", "--json"), True),
        (("cache", "list", "--nonsense"), False),
    ],
)
def test_errors_in_the_words_are_json_where_json_is_an_option(
    run: Run, words: tuple[str, ...], *, is_json: bool
) -> None:
    done = run(*words)
    assert (done.code, done.err.startswith('{"error": ')) == (2, is_json), done.err


@pytest.mark.parametrize(("value", "is_json"), [("1", True), ("yes", True), ("0", False)])
def test_the_variable_says_json_as_the_option_does(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, value: str, is_json: bool
) -> None:
    monkeypatch.setenv("TASKEMBED_JSON", value)
    for words in (["search", "x", "--index", tmp_path / "none"], ["search", "--nonsense"]):
        err = run(*words).err
        assert err.startswith('{"error": ') is is_json
        if is_json:
            assert json.loads(err)["exit_code"] in {2, 66}


# Ctrl-C

SLOW_IMPORTS = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            print("importing", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Slow())
from taskembed.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["typer", "taskembed.cli.app", "taskembed.index.reader", "numpy"])
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(name: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [PYTHON, "-c", SLOW_IMPORTS.format(name=name), "search", "x", "--index", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_an_interrupt_that_python_swallowed_is_raised_again() -> None:
    """A KeyboardInterrupt in a callback, as of a weak reference, is not raised by Python."""
    code = """
import os, signal, sys, time
from taskembed.cli._process.interrupt import Interrupt
from taskembed.cli.main import main
class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)
interrupt = Interrupt()
interrupt.leave_from_now()
interrupt.raise_from_now()
try:
    Closing()
    time.sleep(10)
except KeyboardInterrupt:
    print("raised", interrupt.came)
"""
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("raised True\n", "")


def test_a_caller_in_python_keeps_its_handler() -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt = Interrupt()
    interrupt.raise_from_now()
    interrupt.ignore_from_now()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_entry_is_there_before_anything_that_takes_time() -> None:
    code = "import sys, taskembed.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "taskembed.cli.main" in loaded
    assert loaded & {"typing", "typer", "inspect", "pathlib", "dataclasses"} == set()


def test_help_is_there_in_a_fifth_of_a_second() -> None:
    def seconds() -> float:
        """Return the CPU time of one run: other processes do not count."""
        before = os.times()
        subprocess.run([PYTHON, "-m", "taskembed", "--help"], capture_output=True, check=True)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(seconds() for _ in range(3)) < 0.2


# pipes, full disks, signals


def test_a_closed_pipe_is_silent(indexed: Path, cache: Path) -> None:
    with start("search", "moon", "--index", indexed, cache=cache) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error(indexed: Path, cache: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("search", "moon", "--index", indexed, cache=cache, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 74
    assert "No space left on device" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_says_what_is_safe(
    tmp_path: Path, cache: Path, number: signal.Signals
) -> None:
    fifo, folder = tmp_path / "slow.jsonl", tmp_path / "new"
    os.mkfifo(fifo)
    process = start(
        *("index", fifo, "--task", "retrieval", "--index", folder, "--commit-every", "10"),
        cache=cache,
    )
    with fifo.open("w") as stream:
        for position in range(25):
            stream.write(json.dumps({"id": str(position), "text": f"text {position}"}) + "\n")
        stream.flush()
        deadline = time.monotonic() + 30
        while len(list(folder.glob("seg-*.db"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert f"taskembed: error: stopped by {number.name}\n" in err
    assert "taskembed: 20 documents are safe in the index\n" in err
    assert "hint: run the same command again to continue\n" in err


def test_the_command_is_installed() -> None:
    assert shutil.which("taskembed", path=str(Path(sys.executable).parent))


@pytest.mark.slow
def test_stdout_by_its_name_is_stdout(indexed: Path, cache: Path, tmp_path: Path) -> None:
    """A file behind it is neither emptied nor replaced."""
    words = ["search", "moon", "--index", str(indexed), "--format", "ids", "-k", "1"]
    words += ["--cache", str(cache)]
    log = tmp_path / "log"
    for name in ("/dev/stdout", "-", "/dev/fd/3"):
        log.write_text("before\n")
        with log.open("a") as stream:
            command = [sys.executable, "-m", "taskembed.testing", *words, "--output", name]
            subprocess.run(
                ["sh", "-c", 'exec "$@" 3>&1', "sh", *command], stdout=stream, check=True
            )
        lines = log.read_text().splitlines()
        assert (lines[0], len(lines)) == ("before", 2), name

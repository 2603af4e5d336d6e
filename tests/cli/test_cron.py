"""docs/how-to/run-from-cron.md: its script, crontab and timer, run as cron runs them.

There is no terminal, and there are no variables.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskembed.errors import ExitCode
from taskembed.index.disk.commit import open_writer
from tests.cli.test_info import set_last_run
from tests.conftest import Result

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "run-from-cron.md").read_text()
PLACE = "/srv/notes"  # in the page
CRON = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "LOGNAME": "notes"}  # what cron gives a job
# programs that behave like taskembed when something goes wrong
KILLED = "fs.Fs.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
FULL = "def full(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\nfs.Fs.write = full"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Machine:
    """A folder that is /srv/notes of the page, with a taskembed whose models are fake."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.notes = place / "notes"
        self.index = place / "index"
        self.script = place / "update.sh"

    def install(self, change: str = "") -> None:
        """Write the program; `change` is Python that is run before it."""
        program = self.place / "venv" / "bin" / "taskembed"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f"#!{sys.executable}\nimport errno, os, signal, sys\nsys.path[:0] = [{str(ROOT)!r}]\n"
            f"from taskembed.index.disk import fs\n{change}\n"
            "from taskembed.testing import _main\nraise SystemExit(_main())\n"
        )
        program.chmod(0o755)

    def written(self, text: str, path: Path) -> Path:
        path.write_text(text.replace(PLACE, str(self.place)))
        path.chmod(0o755 if path.suffix == ".sh" else 0o644)
        return path

    def run(self, command: str | Path, *, before: tuple[str, ...] = ()) -> Result:
        """Run a line of a crontab as cron does."""
        line = str(command).replace(PLACE, str(self.place))
        variables = [f"{name}={value}" for name, value in CRON.items()]
        done = subprocess.run(
            [*before, "/usr/bin/env", "-i", *variables, "/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            start_new_session=True,  # no terminal
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def update(self) -> Result:
        return self.run(self.script)

    def last_run(self) -> dict[str, object]:
        done = self.run(f"{PLACE}/venv/bin/taskembed info --index {PLACE}/index --json")
        found: dict[str, object] = json.loads(done.out)["last_run"]
        return found

    def health(self) -> Result:
        (line,) = [line for line in blocks("cron")[0].splitlines() if "--max-age" in line]
        return self.run(re.sub(r"^(\S+ ){5}", "", line))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The folder of the page, with three notes and their index."""
    found = Machine(tmp_path / "srv")
    found.notes.mkdir(parents=True)
    for name in ("moon", "bread", "soup"):
        (found.notes / f"{name}.md").write_text(f"# {name}\n\nA text about {name}.\n")
    found.install()
    by_hand, script = blocks("sh")[:2]
    assert found.run(by_hand).out.startswith("3 added")
    found.written(script, found.script)
    return found


def test_the_codes_that_the_script_tells_apart_are_those_of_the_reference() -> None:
    script = blocks("sh")[1]
    assert {int(code) for code in re.findall(r"^  (\d+)\)", script, re.MULTILINE)} == {
        ExitCode.PARTIAL,
        ExitCode.BUSY,
    }
    shell = subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=False)
    assert shell.returncode == 0


def test_the_lines_of_the_crontab_have_five_times_and_a_command() -> None:
    setting, *jobs = blocks("cron")[0].splitlines()
    assert re.fullmatch(r"[A-Z]+=\S+", setting)
    commands = [re.fullmatch(r"(?:(?:\*|\d+) ){5}(/srv/notes/\S+)(?: [^%]*)?", job) for job in jobs]
    assert [found and found[1] for found in commands] == [
        f"{PLACE}/update.sh",
        f"{PLACE}/venv/bin/taskembed",
    ]


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.written(blocks("sh")[1], machine.script)
    names = ("notes-index.service", "notes-index.timer")
    units = [
        machine.written(text, tmp_path / name)
        for name, text in zip(names, blocks("ini"), strict=True)
    ]
    service, timer = (configparser.ConfigParser() for _ in units)
    for parser, unit in zip((service, timer), units, strict=True):
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's docs do
        parser.read(unit)
    assert service["Service"]["ExecStart"] == str(machine.script)
    assert timer["Timer"]["Persistent"] == "true"
    if shutil.which("systemd-analyze"):
        text = units[0].read_text().replace("User=notes\n", "")  # who is not on this machine
        units[0].write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_night_without_terminal_home_or_variables(machine: Machine) -> None:
    set_last_run(machine.index, datetime.now(UTC) - timedelta(hours=27))
    late = machine.health()
    assert (late.code, late.out) == (1, "")
    assert "more than 26h" in late.err
    (machine.notes / "moon.md").unlink()
    (machine.notes / "tide.md").write_text("# Tides\n\nThe sea rises.\n")
    done = machine.update()
    assert (done.code, done.out) == (65, "")  # one of three is more than a fifth
    assert "--prune would delete 1 of 3 documents" in done.err
    (machine.notes / "moon.md").write_text("# moon\n\nA text about moon.\n")
    assert machine.update() == Result(0, "", "")
    run = machine.last_run()
    assert (run["updated"], run["unchanged"], run["encoded"]) == (1, 3, 0)  # its time has changed
    assert machine.health() == Result(0, "", "")
    log = (machine.place / "update.log").read_text().splitlines()
    assert log[-1].endswith("0 added, 1 updated, 0 deleted, 3 unchanged, 0 rejected, 0 truncated")
    assert any("error: --prune would delete 1 of 3 documents" in line for line in log)


@pytest.mark.slow
def test_a_file_that_is_not_text_is_told_and_the_rest_is_indexed(machine: Machine) -> None:
    (machine.notes / "bad.md").write_bytes(b"\xff")
    (machine.notes / "tide.md").write_text("# Tides\n")
    done = machine.update()
    assert (done.code, done.out) == (0, "")
    assert f"some files were not indexed: see {machine.place}/rejects.jsonl\n" in done.err
    assert machine.last_run()["added"] == 1
    assert "not UTF-8" in (machine.place / "rejects.jsonl").read_text()


@pytest.mark.slow
def test_runs_that_overlap_wait_or_leave(machine: Machine) -> None:
    (machine.notes / "tide.md").write_text("# Tides\n")
    script = machine.script.read_text()
    with open_writer(machine.index):
        machine.script.write_text(script.replace("--wait 600", "--wait 0.1"))
        busy = machine.update()
    assert (busy.code, busy.out) == (0, "")
    assert "another taskembed is writing to index" in busy.err
    assert machine.last_run()["added"] == 3
    machine.script.write_text(script)
    both = [
        subprocess.Popen(["/usr/bin/env", "-i", machine.script], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert machine.run(f"{PLACE}/venv/bin/taskembed verify --index {PLACE}/index").code == 0
    assert machine.last_run()["documents"] == 4


@pytest.mark.slow
def test_a_reader_needs_no_right_to_write(machine: Machine) -> None:
    machine.index.chmod(0o555)
    for path in machine.index.iterdir():
        path.chmod(0o444)
    search = f"{PLACE}/venv/bin/taskembed search moon -k 1 --format ids --index {PLACE}/index"
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    before = powerless if os.geteuid() == 0 else ()
    assert machine.run(search, before=before) == Result(0, "moon.md\n", "")
    assert machine.run(f"{PLACE}/venv/bin/taskembed info --index {PLACE}/index").code == 0
    machine.index.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(("change", "code"), [(FULL, 74), (KILLED, 128 + signal.SIGKILL)])
def test_the_next_night_continues_after_a_full_disk_or_a_machine_that_went_down(
    machine: Machine, change: str, code: int
) -> None:
    (machine.notes / "tide.md").write_text("# Tides\n\nThe sea rises.\n")
    machine.install(change)
    failed = machine.update()
    assert (failed.code, failed.out) == (code, "")
    if change is FULL:
        assert "No space left on device" in failed.err
        assert "No space left on device" in (machine.place / "update.log").read_text()
    machine.install()
    search = f"{PLACE}/venv/bin/taskembed search moon -k 1 --format ids --index {PLACE}/index"
    assert machine.run(search).out == "moon.md\n"
    assert machine.last_run()["added"] == 3  # that of the run by hand
    assert machine.update() == Result(0, "", "")
    assert machine.last_run()["added"] == 1
    assert machine.run(f"{PLACE}/venv/bin/taskembed verify --index {PLACE}/index").code == 0

"""The configuration file: names for indexes, defaults; flags > environment > file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskembed.cli.options.config import config_path, read_config
from taskembed.errors import StorageError
from tests.conftest import Run


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a configuration file, which is not there yet."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("TASKEMBED_CONFIG", str(path))
    return path


def test_an_index_has_a_name(run: Run, indexed: Path, config: Path, tmp_path: Path) -> None:
    config.write_text(f'[indexes]\nnotes = "{indexed}"\nnew = "{tmp_path}/new"\n')
    assert run("search", "moon", "--index", "notes", "-k", "1").lines[0]["doc_id"] == "moon"
    assert f"index: {indexed}\n" in run("info", "--index", "notes").out
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "b"}\n')
    made = run("index", tmp_path / "a.jsonl", "--task", "retrieval", "--index", "new")
    assert (made.code, (tmp_path / "new" / "LOCK").exists()) == (0, True)
    assert run("explain", "x", "--index", "notes").code == 0  # an --index without a variable
    unknown = run("info", "--index", "note")
    assert (unknown.code, unknown.err.splitlines()[0]) == (
        66,
        "taskembed: error: no index at note",
    )
    assert run("info", "--index", tmp_path / "notes").code == 66  # a folder of that name


def test_a_default_of_the_file_is_weaker_than_a_variable_and_that_than_an_option(
    run: Run, indexed: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(
        f'[indexes]\nnotes = "{indexed}"\n[defaults]\nindex = "notes"\njson = true\n'
        'task = "clustering"\nthreads = 2\n'
    )
    assert run("info").json == run("info", "--index", indexed, "--json").json
    monkeypatch.setenv("TASKEMBED_JSON", "0")
    assert run("info").out.startswith(f"index: {indexed}\n")
    monkeypatch.setenv("TASKEMBED_INDEX", "nowhere")
    assert "no index at nowhere" in run("info").err
    assert run("info", "--index", "notes").code == 0
    monkeypatch.setenv("TASKEMBED_INDEX", "notes")  # a variable may have a name, too
    assert run("info").code == 0


def test_the_task_of_the_file_is_for_new_indexes(
    run: Run, four_documents: Path, indexed: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text('[defaults]\ntask = "sts"\n')
    done = run("index", four_documents, "--index", indexed)
    assert (done.code, done.out.split(", ")[3]) == (0, "4 unchanged")
    assert done.err == (
        f"taskembed: note: task in {config} applies only to new indexes: this index has the task "
        "'retrieval'\n"
    )
    new = tmp_path / "new"
    assert run("index", four_documents, "--index", new).code == 0
    assert "task: similarity" in run("info", "--index", new).out


def test_messages_name_the_file_where_its_default_is_the_reason(
    run: Run, four_documents: Path, config: Path, folder: Path
) -> None:
    config.write_text('[defaults]\napi_base = "ftp://x"\ntask = "retrieval"\nmodel = "m"\n')
    make = ("index", four_documents, "--index", folder)
    done = run(*make, "--query-prompt", "", "--document-prompt", "")
    assert done.code == 2
    assert done.err.startswith(
        f"taskembed: error: api_base in {config} 'ftp://x': not an http or https address\n"
    )
    config.write_text('[defaults]\napi_base = "http://127.0.0.1:9/v1"\n')
    done = run(*make, "--task", "retrieval", "--model", "minilm")
    assert f"hint: remove api_base in {config} to run it on this machine" in done.err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[defaults\n",
            "the file is not TOML: Expected ']' at the end of a table ",
        ),
        ("[default]\n", 'unknown key "default"; the keys are indexes, defaults'),
        (
            '[defaults]\ntsak = "retrieval"\n',
            'defaults: unknown key "tsak"; the keys are index, task, model, api_base, device, '
            "precision, threads, offline, cache, quiet, json",
        ),
        ('[defaults]\nthreads = "4"\n', "defaults: \"threads\" is not a whole number: '4'"),
        ("[defaults]\nthreads = 0\n", 'defaults: "threads" must be at least 1: 0'),
        ("[defaults]\noffline = 1\n", 'defaults: "offline" is not true or false: 1'),
        ('[defaults]\ntask = "retreival"\n', "defaults: 'retreival' is not a task; the tasks are "),
        ('[defaults]\ndevice = "gpu"\n', 'defaults: "device" is none of '),
        (
            '[defaults]\nindex = "notes"\n',
            'defaults: "index", which is not a name of [indexes], must be an absolute path, or '
            "begin with ~/: 'notes'",
        ),
        (
            '[defaults]\ncache = "c"\n',
            'defaults: "cache" must be an absolute path, or begin with ~',
        ),
        (
            '[indexes]\nnotes = "notes"\n',
            'indexes: "notes" must be an absolute path, or begin with ',
        ),
        ("[indexes]\nnotes = 1\n", 'indexes: "notes" is not a string: 1'),
        ('[indexes]\n"a/b" = "/x"\n', "indexes: 'a/b' is not a name"),
        ('[indexes]\n".." = "/x"\n', "indexes: '..' is not a name"),
        ("\udcff", "the file is not UTF-8"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(
    text: str, reason: str, run: Run, config: Path
) -> None:
    config.write_bytes(text.encode(errors="surrogateescape"))
    done = run("info", "--index", "x")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0].startswith(f"taskembed: error: {config}: {reason}")
    assert run("--help").code == run("info", "--help").code == 0


def test_a_file_that_is_named_must_be_there_and_an_empty_name_is_none(
    run: Run, indexed: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("info", "--index", indexed)
    assert done.code == 66
    assert done.err == (
        f"taskembed: error: TASKEMBED_CONFIG: {config}: no such file\n"
        "taskembed: hint: unset TASKEMBED_CONFIG\n"
    )
    monkeypatch.setenv("TASKEMBED_CONFIG", "")
    assert run("info", "--index", indexed).code == 0


def test_the_file_is_in_the_users_own_folder_and_a_home_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "taskembed" / "config.toml"
    assert config_path({}) is None
    path.parent.mkdir()
    path.write_text("")
    assert config_path({}) == path
    assert config_path({"TASKEMBED_CONFIG": ""}) is None
    assert read_config(path).defaults == {}
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: Path("~/.config/taskembed"))
    (tmp_path / "~" / ".config" / "taskembed").mkdir(parents=True)
    (tmp_path / "~" / ".config" / "taskembed" / "config.toml").write_text("[nonsense]")
    monkeypatch.chdir(tmp_path)
    assert config_path({}) is None


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        read_config(tmp_path)
    assert "Is a directory" in str(caught.value)


@pytest.mark.slow
def test_without_a_file_nothing_is_imported_for_it(tmp_path: Path) -> None:
    code = (
        "import sys; from taskembed.cli.main import main; main(['info', '--index', 'x']); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "taskembed.cli.options._config_tables" not in done.stdout.split()
    code = code.replace("['info', '--index', 'x']", "['index', '--help']")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "platformdirs" not in done.stdout.split()

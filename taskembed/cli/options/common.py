"""The options that several commands have, declared once.

Most commands take them in groups: see `groups.py`. An option has an environment variable
only if a shell profile or a cron job wants it for every command; docs/environment.md lists them.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from taskembed.space import Task


def parse_task(name: str | Task) -> Task:
    """Return a task from its name; a parser for typer."""
    if isinstance(name, Task):
        return name
    try:
        return Task(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def complete_task(incomplete: str) -> list[str]:
    """Return the tasks that begin with a text, for completion in the shell."""
    return [task.value for task in Task if task.value.startswith(incomplete)]


class Panel(StrEnum):
    """The headings of a command's options in its help, in the order in which they are shown."""

    INPUT = "Input"
    INDEX = "Index"
    STORAGE = "Storage"
    BAD_RECORDS = "Bad records"
    RANKING = "Ranking"
    RERANKER = "Reranker"
    LABELS = "Labels"
    OUTPUT = "Output"
    MODEL = "Model"
    MACHINE = "Machine"


class Device(Enum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(Enum):
    """The precision of a model's computations."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


def output_option(help_text: str, *, metavar: str = "FILE") -> Any:  # noqa: ANN401 - of typer.Option
    """Return the option for the output file or folder, for the annotation of a parameter.

    Args:
        help_text: the help of the option.
        metavar: FILE or DIR.
    """
    return typer.Option(
        "--output", "-o", metavar=metavar, rich_help_panel=Panel.OUTPUT, help=help_text
    )


def task_option(
    help_text: str,
    *,
    name: str = "--task",
    panel: Panel = Panel.MODEL,
    envvar: str | None = None,
) -> Any:  # noqa: ANN401  # of typer.Option
    """Return an option that names a task, for the annotation of a parameter.

    Args:
        help_text: the help of the option.
        name: the name of the option.
        panel: the panel in which the help shows the option.
        envvar: the environment variable with its default; None for no variable.
    """
    return typer.Option(
        name,
        envvar=envvar,
        parser=parse_task,
        metavar="TASK",
        autocompletion=complete_task,
        rich_help_panel=panel,
        help=help_text,
    )


IndexFolder = Annotated[
    Path,
    typer.Option(
        "--index",
        envvar="TASKEMBED_INDEX",
        metavar="DIR",
        rich_help_panel=Panel.INDEX,
        help="The index.",
    ),
]
TaskOption = Annotated[
    Task | None,
    task_option(
        "The task: retrieval, similarity, classification, clustering or code.",
        envvar="TASKEMBED_TASK",
    ),
]
TasksOption = Annotated[
    list[Task] | None,
    task_option(
        "The task: retrieval, similarity, classification, clustering or code. Repeat the option "
        "for an index with several views.",
        panel=Panel.INDEX,
        envvar="TASKEMBED_TASK",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="TASKEMBED_MODEL",
        metavar="MODEL",
        rich_help_panel=Panel.MODEL,
        help="The model: minilm, a Hugging Face id, or a folder.",
    ),
]
ViewOption = Annotated[
    Task | None,
    task_option(
        "The task of the index, or of one of its views.  [default: the first view]",
        envvar="TASKEMBED_TASK",
    ),
]
PlaceOfModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="TASKEMBED_MODEL",
        metavar="MODEL",
        rich_help_panel=Panel.MODEL,
        help="The model of the index, or the folder to which it was moved.",
    ),
]
PlaceOfAdapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="ADAPTER",
        rich_help_panel=Panel.MODEL,
        help="The folder to which the index's adapter was moved.",
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REVISION",
        rich_help_panel=Panel.MODEL,
        help="The branch, tag or commit of a Hugging Face model.",
    ),
]
QueryPrompt = Annotated[
    str | None,
    typer.Option(
        "--query-prompt",
        metavar="TEXT",
        rich_help_panel=Panel.MODEL,
        help="The prompt before each query, instead of the known one; '' for none.",
    ),
]
DocumentPrompt = Annotated[
    str | None,
    typer.Option(
        "--document-prompt",
        metavar="TEXT",
        rich_help_panel=Panel.MODEL,
        help="The prompt before each document, instead of the known one; '' for none.",
    ),
]
Instruction = Annotated[
    str | None,
    typer.Option(
        "--instruction",
        metavar="TEXT",
        rich_help_panel=Panel.MODEL,
        help="An instruction that describes the queries, for a model that takes instructions.",
    ),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        rich_help_panel=Panel.MODEL,
        help="A TOML file with your own prompts and adapters.",
    ),
]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        rich_help_panel=Panel.MODEL,
        help="The known family of a model in a folder, such as e5 or instructor.",
    ),
]
AdapterOption = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="ADAPTER",
        rich_help_panel=Panel.MODEL,
        help="A LoRA adapter to merge into the model: a folder, or a Hugging Face id.",
    ),
]
Header = Annotated[
    bool,
    typer.Option(
        "--header",
        rich_help_panel=Panel.OUTPUT,
        help="Begin TSV with a row of column names.",
    ),
]
NoText = Annotated[
    bool,
    typer.Option("--no-text", rich_help_panel=Panel.OUTPUT, help="Omit the texts."),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        rich_help_panel=Panel.BAD_RECORDS,
        help="Skip bad records; the exit code is then 1.",
    ),
]
NoAdapter = Annotated[
    bool,
    typer.Option(
        "--no-adapter",
        rich_help_panel=Panel.MODEL,
        help="Use the model without its known adapter for the task.",
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        rich_help_panel=Panel.MODEL,
        help="Run the Python code of a model that needs it; a repository needs --revision COMMIT.",
    ),
]
ApiBase = Annotated[
    str | None,
    typer.Option(
        "--api-base",
        envvar="TASKEMBED_API_BASE",
        metavar="URL",
        rich_help_panel=Panel.MODEL,
        help="The address of a server with OpenAI's API, such as http://localhost:8080/v1.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        envvar="TASKEMBED_DEVICE",
        rich_help_panel=Panel.MACHINE,
        help="Where the model runs.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        envvar="TASKEMBED_PRECISION",
        rich_help_panel=Panel.MACHINE,
        help="The precision of computations; auto is bf16 if the hardware supports it, and int8 "
        "for an index made in int8.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        envvar="TASKEMBED_THREADS",
        min=1,
        metavar="N",
        rich_help_panel=Panel.MACHINE,
        help="The number of CPU threads.",
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        envvar="TASKEMBED_OFFLINE",
        rich_help_panel=Panel.MACHINE,
        help="Never use the network.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        envvar="TASKEMBED_CACHE",
        metavar="DIR",
        rich_help_panel=Panel.MACHINE,
        help="The folder for compiled models and copies of indexes.  [default: the user's cache]",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        envvar="TASKEMBED_QUIET",
        rich_help_panel=Panel.OUTPUT,
        help="Print no summary, notes or progress, only errors.",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        envvar="TASKEMBED_JSON",
        rich_help_panel=Panel.OUTPUT,
        help="Print JSON; errors are JSON too, on stderr.",
    ),
]
LOG_FILE = "--log-file"
LogFile = Annotated[
    Path | None,
    typer.Option(
        LOG_FILE,
        metavar="FILE",
        rich_help_panel=Panel.OUTPUT,
        help="Also append messages and progress to this file, each line with the time.",
    ),
]
Recreate = Annotated[
    bool,
    typer.Option(
        "--recreate",
        rich_help_panel=Panel.INDEX,
        help="Replace the index with a new one.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        rich_help_panel=Panel.INDEX,
        help="How long to wait for another process that writes to the index.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        rich_help_panel=Panel.INDEX,
        help="Only documents whose metadata matches, such as \"year >= 2020 and lang = 'en'\".",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=Panel.INDEX,
        help="Report what would be done, without writing anything or loading a model.",
    ),
]

DEFAULT_INDEX = Path("taskembed-index")
NOTHING_PASSES = "no document matches --where; see taskembed info --fields"

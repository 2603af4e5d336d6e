"""The options that several commands have, declared once: each alone, and in groups.

A command takes a group as one parameter: see `with_groups`. An option has an environment variable
only if a shell profile or a cron job wants it for every command; docs/environment.md lists them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._output import message
from taskembed.errors import UsageError
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.models.resolve import PromptOverrides


def parse_task(name: str | Task) -> Task:
    """Return a task from its name, as typer wants it."""
    if isinstance(name, Task):
        return name
    try:
        return Task(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def complete_task(incomplete: str) -> list[str]:
    """Return the tasks that begin so, for the shell."""
    return [task.value for task in Task if task.value.startswith(incomplete)]


class Panel(StrEnum):
    """The headings of a command's options in its help, in the order in which they are shown."""

    INPUT = "Input"
    INDEX = "Index"
    BAD_RECORDS = "Bad records"
    RANKING = "Ranking"
    OUTPUT = "Output"
    MODEL = "Model"
    RERANKER = "Reranker"
    MACHINE = "Machine"


class Device(Enum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Precision(Enum):
    """What a model computes in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


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
    typer.Option(
        "--task",
        envvar="TASKEMBED_TASK",
        parser=parse_task,
        metavar="TASK",
        autocompletion=complete_task,
        rich_help_panel=Panel.MODEL,
        help="The task: retrieval, similarity, classification, clustering or code.",
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
        help="What queries ask for, in words, for a model that takes instructions.",
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
        help="Use the model without its adapter for the task.",
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        rich_help_panel=Panel.MODEL,
        help="Run the Python code of a model that needs it; the commit must be fixed.",
    ),
]
ApiBase = Annotated[
    str | None,
    typer.Option(
        "--api-base",
        envvar="TASKEMBED_API_BASE",
        metavar="URL",
        rich_help_panel=Panel.MODEL,
        help="A server that runs the model, such as http://localhost:8080/v1 (OpenAI's API).",
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
        help="The precision of computations; auto is bf16 if the hardware has it, and int8 for "
        "an index made in int8.",
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
        help="The folder for compiled models, instead of the user's cache folder.",
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
        help="Append messages and progress to this file too, each line with the time.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        rich_help_panel=Panel.INDEX,
        help="How long to wait for another process that writes.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        rich_help_panel=Panel.INDEX,
        help="Only documents whose metadata passes: \"year >= 2020 and lang = 'en'\".",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=Panel.INDEX,
        help="Report what would be done; write nothing, load no model.",
    ),
]

DEFAULT_INDEX = Path("taskembed-index")
NOTHING_PASSES = "no document passes --where; see taskembed info --fields"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model encodes, for which task, and what is stated of it beside its name."""

    task: TaskOption = None
    model: ModelOption = None
    revision: RevisionOption = None
    query_prompt: QueryPrompt = None
    document_prompt: DocumentPrompt = None
    instruction: Instruction = None
    prompts: PromptsOption = None
    family: FamilyOption = None
    adapter: AdapterOption = None

    def required_task(self) -> Task:
        """Return the task.

        Raises:
            UsageError: no task was given.
        """
        if self.task is None:
            raise UsageError("which task?", hint=f"--task {'|'.join(item.value for item in Task)}")
        return self.task

    def stated(self, *, no_adapter: bool = False) -> PromptOverrides:
        """Return the prompts, the adapter and the family that were given.

        Args:
            no_adapter: the model is used without the adapter that is known for the task.

        Raises:
            UsageError: an adapter and `no_adapter` were given; the prompts file is not valid.
            NotFoundError: there is no such prompts file.
        """
        if self.adapter is not None and no_adapter:
            raise UsageError("--adapter and --no-adapter exclude each other")
        from taskembed.models.prompts_file import read_prompts_file
        from taskembed.models.resolve import PromptOverrides

        return PromptOverrides(
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            instruction=self.instruction,
            adapter="" if no_adapter else self.adapter,
            family=self.family,
            prompts=read_prompts_file(self.prompts) if self.prompts else None,
        )


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """Where the model of an index, and its adapter, are now."""

    model: ModelOption = None
    adapter: AdapterOption = None


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Where and how a model runs, and where its files are kept."""

    device: DeviceOption = Device.AUTO
    precision: PrecisionOption = Precision.AUTO
    threads: Threads = None
    offline: Offline = False
    cache: Cache = None

    def settings(
        self,
        *,
        quiet: bool,
        one_query: bool = False,
        trust_remote_code: bool = False,
        api_base: str | None = None,
    ) -> EngineSettings:
        """Return the settings of the engine that runs a model.

        Args:
            quiet: no notes on stderr.
            one_query: a single short text will be encoded.
            trust_remote_code: the model's own Python code may run.
            api_base: the address of the server that runs the model, instead of this machine.
        """
        if one_query:  # numpy's other threads would look for work in a loop: 0.03 s of a core
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from taskembed.encoding.settings import EngineSettings  # numpy and tokenizers: 0.07 s

        return EngineSettings(
            device=self.device.value,
            precision=self.precision.value,
            threads=self.threads,
            one_query=one_query,
            offline=self.offline,
            trust_remote_code=trust_remote_code,
            api_base=api_base,
            cache=self.cache,
            notify=(lambda _: None) if quiet else message,
        )


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What a command prints."""

    quiet: Quiet = False
    as_json: AsJson = False


@dataclass(frozen=True, slots=True)
class LongOutputOptions(OutputOptions):
    """What a command that takes long prints, and logs."""

    log_file: LogFile = None

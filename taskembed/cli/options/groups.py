"""Groups of options that several commands share: the model, the machine, the output.

A command takes a group as one parameter: see `with_groups`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskembed.cli.options import common as opt
from taskembed.cli.printing.output import message
from taskembed.errors import UsageError
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.models.resolve import PromptOverrides


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The model, the task, and the prompts and adapter that the user gives."""

    task: opt.TaskOption = None
    model: opt.ModelOption = None
    revision: opt.RevisionOption = None
    query_prompt: opt.QueryPrompt = None
    document_prompt: opt.DocumentPrompt = None
    instruction: opt.Instruction = None
    prompts: opt.PromptsOption = None
    family: opt.FamilyOption = None
    adapter: opt.AdapterOption = None

    @property
    def tasks(self) -> list[Task]:
        """The given tasks: at most one."""
        return [] if self.task is None else [self.task]

    def required_task(self) -> Task:
        """Return the task.

        Raises:
            UsageError: no task was given.
        """
        if self.task is None:
            raise UsageError(
                "no task given", hint=f"use --task {'|'.join(item.value for item in Task)}"
            )
        return self.task

    def stated(self, *, no_adapter: bool = False) -> PromptOverrides:
        """Return the prompts, the adapter and the family that were given.

        Args:
            no_adapter: use the model without its known adapter for the task.

        Raises:
            UsageError: an adapter and `no_adapter` were given; the prompts file is not valid.
            NotFoundError: there is no such prompts file.
        """
        if self.adapter is not None and no_adapter:
            raise UsageError("--adapter and --no-adapter cannot be combined")
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
class ViewsModelOptions(ModelOptions):
    """The options about a model, for a command that takes several tasks."""

    task: opt.TasksOption = None  # type: ignore[assignment]  # one option, repeated

    @property
    def tasks(self) -> list[Task]:
        """The tasks, each once."""
        return list(dict.fromkeys(self.task or ()))


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """The present folders of an index's model and adapter."""

    model: opt.PlaceOfModel = None
    adapter: opt.PlaceOfAdapter = None


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Where and how a model runs, and where its files are kept."""

    device: opt.DeviceOption = opt.Device.AUTO
    precision: opt.PrecisionOption = opt.Precision.AUTO
    threads: opt.Threads = None
    offline: opt.Offline = False
    cache: opt.Cache = None

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
            quiet: print no notes on stderr.
            one_query: whether a single short text will be encoded.
            trust_remote_code: whether the model's own Python code may run.
            api_base: the address of the server that runs the model, instead of this machine.
        """
        if one_query:  # numpy's other threads would wait in a busy loop: 0.03 s of a core
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

    quiet: opt.Quiet = False
    as_json: opt.AsJson = False


@dataclass(frozen=True, slots=True)
class LongOutputOptions(OutputOptions):
    """What a long-running command prints and logs."""

    log_file: opt.LogFile = None

"""Trains a LoRA adapter of PEFT with the trainer of sentence-transformers.

Importing this module imports torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from sentence_transformers import (
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from taskembed.encoding.compile.encoders import load_sentence_transformer
from taskembed.encoding.compile.quiet import quiet
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.errors import BadInputError
from taskembed.models.resolve import ModelSpec
from taskembed.training._base import Base
from taskembed.training._checkpoints import (
    last_checkpoint,
    load_adapter,
    save_adapter,
    step_of,
    torch_writes,
)
from taskembed.training._datasets import batch_sampler, column_prompts, make_dataset
from taskembed.training._dev_score import DEV_SCORE, DevScore
from taskembed.training._folders import Folders
from taskembed.training._lora import add_adapter, prepare, trained_parameters, weaken
from taskembed.training._losses import make_loss
from taskembed.training._splits import DataSplit
from taskembed.training.recipe import Recipe

CHECKPOINTS_KEPT = 2  # the best and the last
LOG_STEPS = 10  # steps between two reports of the loss


@dataclass(frozen=True, slots=True)
class Progress:
    """A report during a training: a loss or a dev score.

    Attributes:
        step: the number of steps done.
        steps: the largest number of steps that the training may take.
        loss: the mean loss of the last steps; None in a report of a dev score.
        dev: the dev score; None in a report of the loss.
        best: the best dev score of a checkpoint so far; None before the first.
    """

    step: int
    steps: int
    loss: float | None
    dev: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training run.

    Attributes:
        step: the step of the best checkpoint.
        steps: the number of steps done.
        base_score: the dev score of the base model.
        score: the dev score of the best checkpoint, weakened to the recipe's strength.
        seconds: duration of this run, without that of stopped runs before it.
        parameters: the number of trained parameters.
    """

    step: int
    steps: int
    base_score: float
    score: float
    seconds: float
    parameters: int


def train_adapter(
    recipe: Recipe,
    splits: Sequence[DataSplit],
    base: Base,
    settings: EngineSettings,
    folders: Folders,
    on_progress: Callable[[Progress], None],
) -> Trained:
    """Train an adapter, and save the checkpoint with the best dev score.

    Args:
        recipe: the settings of adapter and training.
        splits: the examples to train on, and those held back for the dev score.
        base: the base model, with its prompts.
        settings: the device, and whether the base's own Python code may run.
        folders: where the checkpoints are, from which a stopped training continues, and where the
            adapter is saved until it is published.
        on_progress: called every few steps, and with each dev score.

    Raises:
        ModelUnavailableError: the base cannot be loaded.
        UsageError: the recipe does not fit the base.
        BadInputError: no hard negatives can be mined, or the dev score is not a number.
        StorageError: a checkpoint cannot be written.
    """
    started = time.monotonic()
    model = load_sentence_transformer(base.files, trust_remote_code=settings.trust_remote_code)
    prepare(model, recipe, base.spec)
    names = [f"data{number}" for number in range(1, len(splits) + 1)]
    # negatives are mined with the base model, before the adapter is added
    datasets = [make_dataset(split, model, recipe, base.spec) for split in splits]
    transformer = add_adapter(model, recipe)
    losses = [make_loss(model, split.kind, recipe) for split in splits]
    trainer = _AdapterTrainer(
        model=model,
        args=_arguments(recipe, base.spec, folders.work, device_of(settings)),
        train_dataset=DatasetDict(zip(names, datasets, strict=True)),
        loss=dict(zip(names, losses, strict=True)),
        evaluator=DevScore(splits, base.spec, recipe),
        callbacks=[EarlyStoppingCallback(recipe.training.patience), _Reporter(on_progress)],
    )
    trainer.remove_callback(PrinterCallback)
    best = _best_checkpoint(trainer, folders.work)
    load_adapter(model, best)
    weaken(transformer, recipe.lora.strength)
    with quiet():
        score = float(trainer.evaluate()[DEV_SCORE])
    save_adapter(model, folders.unpublished, halved=True)
    return Trained(
        step=step_of(best),
        steps=trainer.state.global_step,
        base_score=_first_dev_score(trainer),
        score=score,
        seconds=time.monotonic() - started,
        parameters=trained_parameters(transformer),
    )


class _AdapterTrainer(SentenceTransformerTrainer):
    """A trainer whose checkpoints hold the adapter alone, as safetensors."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Do nothing, since _card.py writes the card."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        del state_dict
        save_adapter(self.model, Path(output_dir or str(self.args.output_dir)))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401  # transformers'
        with torch_writes(Path(str(self.args.output_dir))):
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ANN401  # transformers'
        del model
        load_adapter(self.model, Path(resume_from_checkpoint))


def _best_checkpoint(trainer: SentenceTransformerTrainer, work: Path) -> Path:
    """Train, from the last checkpoint if there is one, and return the best checkpoint."""
    last = last_checkpoint(work)
    with quiet():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    best = trainer.state.best_model_checkpoint
    if best is None:
        raise BadInputError(
            "the dev score is not a number: the held-back examples have no spread",
            hint="use a larger dev in the recipe",
        )
    return Path(best)


def _first_dev_score(trainer: SentenceTransformerTrainer) -> float:
    """Return the dev score before the first step: that of the base."""
    history = [entry for entry in trainer.state.log_history if DEV_SCORE in entry]
    return float(history[0][DEV_SCORE])


def _arguments(
    recipe: Recipe, spec: ModelSpec, work: Path, device: str
) -> SentenceTransformerTrainingArguments:
    training = recipe.training
    every = min(training.eval_steps, training.steps)
    return SentenceTransformerTrainingArguments(
        output_dir=str(work),
        max_steps=training.steps,
        per_device_train_batch_size=training.batch,
        learning_rate=training.learning_rate,
        warmup_steps=int(training.warmup * training.steps),
        bf16=training.precision == "bf16",
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=device == "cpu",
        prompts=column_prompts(spec) or None,
        batch_sampler=batch_sampler,
        eval_strategy="steps",
        eval_on_start=True,  # the base's score
        eval_steps=every,
        save_steps=every,
        save_total_limit=CHECKPOINTS_KEPT,
        load_best_model_at_end=True,  # keeps the best checkpoint from being removed
        metric_for_best_model=DEV_SCORE,
        greater_is_better=True,
        logging_steps=LOG_STEPS,
        report_to=[],
        disable_tqdm=True,
    )


class _Reporter(TrainerCallback):
    """Passes the trainer's logs on as `Progress`."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401  # transformers'
        """Report a loss or a dev score; other logs are left out."""
        del args, control
        loss, dev = logs.get("loss"), logs.get(DEV_SCORE)
        if loss is None and dev is None:
            return
        self._on_progress(
            Progress(
                step=state.global_step,
                steps=state.max_steps,
                loss=float(loss) if loss is not None else None,
                dev=float(dev) if dev is not None else None,
                best=state.best_metric,
            )
        )

"""Training a LoRA adapter: PEFT's adapter, sentence-transformers' losses and trainer.

The loss follows from what the examples are:

    pairs     InfoNCE over the batch and mined negatives   CachedMultipleNegativesRankingLoss
    scored    order of the scores                          CoSENTLoss
    labelled  every triplet in the batch                   BatchAllTripletLoss
    rated     shares that ratings give a query's documents DistillKLDivLoss

Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import (
    DefaultBatchSampler,
    GroupByLabelBatchSampler,
    NoDuplicatesBatchSampler,
)
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.util import mine_hard_negatives
from torch import nn
from torch.utils.data import SubsetRandomSampler
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from taskembed.encoding.compile.encoders import load_sentence_transformer
from taskembed.encoding.compile.quiet import quiet
from taskembed.errors import BadInputError, StorageError, UsageError, first_line
from taskembed.models.adapters import WEIGHTS
from taskembed.models.files import ModelFiles
from taskembed.models.resolve import ModelSpec
from taskembed.reading.examples import Form
from taskembed.training._dev_score import DEV_SCORE, DevScore
from taskembed.training._splits import Examples
from taskembed.training.recipe import MINED_FROM, Recipe

CHECKPOINTS_KEPT = 2  # the best and the last
LOG_STEPS = 10
MINED_MARGIN = 0.05  # of its positive's score: one that is nearer is likely a positive itself
_ADAPTER = "default"  # PEFT's name of the only one
_STATE = "trainer_state.json"  # is written last into a checkpoint


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is.

    Attributes:
        step: that was done.
        steps: at most.
        loss: of the last steps; None when this is about a dev score.
        dev: the dev score now; None when this is about the loss.
        best: the best dev score of a checkpoint so far.
    """

    step: int
    steps: int
    loss: float | None
    dev: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it.

    Attributes:
        step: of the best checkpoint.
        steps: that were done.
        base_score: the dev score of the base model.
        score: that of the best checkpoint.
        seconds: of training, in this run.
        parameters: numbers that were trained.
    """

    step: int
    steps: int
    base_score: float
    score: float
    seconds: float
    parameters: int


def train_adapter(  # noqa: PLR0913  # each is one thing that a training needs
    recipe: Recipe,
    examples: Sequence[Examples],
    files: ModelFiles,
    spec: ModelSpec,
    *,
    work: Path,
    output: Path,
    device: str = "cpu",
    trust_remote_code: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train an adapter, and save the checkpoint with the best dev score.

    Args:
        recipe: how.
        examples: what on.
        files: the base model's.
        spec: its prompts for the recipe's task.
        work: the folder of checkpoints; a training that was stopped goes on from the last.
        output: the adapter's folder, as PEFT saves one.
        device: "cpu", "cuda" or "mps".
        trust_remote_code: run the base model's own Python code.
        on_progress: told every few steps.

    Raises:
        ModelUnavailableError: the base cannot be loaded.
        UsageError: the recipe does not fit the base.
        BadInputError: nothing can be mined, or the dev score is no number.
        StorageError: a checkpoint cannot be written.
    """
    started = time.monotonic()
    model = load_sentence_transformer(files, trust_remote_code=trust_remote_code)
    _prepare(model, recipe, spec)
    datasets = {
        f"data{number}": _dataset(item, model, recipe, spec)
        for number, item in enumerate(examples, 1)
    }
    backbone = _add_adapter(model, recipe)
    trainer = _AdapterTrainer(
        model=model,
        args=_arguments(recipe, spec, work, device),
        train_dataset=DatasetDict(datasets),
        loss={
            name: _loss(model, item.form, recipe)
            for name, item in zip(datasets, examples, strict=True)
        },
        evaluator=DevScore(examples, spec, recipe),
        callbacks=[
            EarlyStoppingCallback(early_stopping_patience=recipe.training.patience),
            _Reporter(on_progress),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(work)
    with quiet():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    state = trainer.state
    if state.best_model_checkpoint is None:
        raise BadInputError(
            "the dev score is not a number: what is held back has no spread",
            hint="a larger dev in the recipe",
        )
    best = Path(state.best_model_checkpoint)
    trainer.load_adapter(best)
    _weaken(backbone, recipe.lora.strength)
    with quiet():
        score = float(trainer.evaluate()[DEV_SCORE])
    save_adapter(model, output, halved=True)
    history = [entry for entry in state.log_history if DEV_SCORE in entry]
    return Trained(
        step=int(best.name.rpartition("-")[2]),
        steps=state.global_step,
        base_score=float(history[0][DEV_SCORE]),
        score=score,
        seconds=time.monotonic() - started,
        parameters=sum(p.numel() for p in backbone.parameters() if p.requires_grad),
    )


@contextlib.contextmanager
def _torch_writes(work: Path) -> Iterator[None]:
    """Raise an error of ours where torch cannot write: of a full disk it makes a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise StorageError(
            f"a checkpoint cannot be written: {first_line(error)}",
            what=str(work),
            hint="free some space and run the same command again",
        ) from error


def last_checkpoint(work: Path) -> Path | None:
    """Return the last checkpoint that is whole; None when there is none."""
    whole = [path.parent for path in work.glob(f"checkpoint-*/{_STATE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


class _AdapterTrainer(SentenceTransformerTrainer):
    """A trainer whose checkpoints hold the adapter alone, as safetensors."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave it out: the card is ours, see card.py."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        del state_dict
        save_adapter(self.model, Path(output_dir or str(self.args.output_dir)))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401  # transformers'
        with _torch_writes(Path(str(self.args.output_dir))):
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ANN401  # transformers'
        del model
        self.load_adapter(Path(resume_from_checkpoint))

    def load_adapter(self, checkpoint: Path) -> None:
        """Put a checkpoint's adapter into the model."""
        weights = load_file(checkpoint / WEIGHTS)
        set_peft_model_state_dict(self.model[0].auto_model, _without_prefix(weights))


_PREFIX = "base_model.model."  # before every name in an adapter's file


def save_adapter(model: SentenceTransformer, folder: Path, *, halved: bool = False) -> None:
    """Save the adapter of a model as PEFT does; in fp16, where the space counts, when `halved`."""
    folder.mkdir(parents=True, exist_ok=True)
    first: Any = model[0]
    # no layer of embeddings was trained; PEFT would ask the hub about the base's
    weights = get_peft_model_state_dict(first.auto_model, save_embedding_layers=False)
    named = {_PREFIX + name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if halved:
        named = {name: value.half() for name, value in named.items()}
    try:
        save_file(named, folder / WEIGHTS)
    except SafetensorError as error:  # what the library says of a full disk
        raise StorageError(f"{folder / WEIGHTS}: {error}") from error
    (folder / WEIGHTS).chmod(0o644)  # the library makes it the user's alone
    # last: it makes the folder an adapter
    first.auto_model.peft_config[_ADAPTER].save_pretrained(str(folder))


def _weaken(backbone: nn.Module, strength: float) -> None:
    """Multiply what the adapter adds to the base's weights."""
    with torch.no_grad():
        for name, value in backbone.named_parameters():
            if "lora_B" in name:
                value.mul_(strength)


def _without_prefix(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(_PREFIX): value for name, value in weights.items()}


def _prepare(model: SentenceTransformer, recipe: Recipe, spec: ModelSpec) -> None:
    if spec.suffix:
        raise UsageError(
            f"{spec.model} ends every text with {spec.suffix!r}, which the trainer cannot put there"
        )
    if not hasattr(model[0], "auto_model"):
        raise UsageError(
            f"{recipe.model} has a model for queries and one for documents: it cannot be trained",
            hint="name another base in the recipe",
        )
    dim = int(model.get_embedding_dimension() or 0)
    if too_long := [size for size in recipe.training.matryoshka if size > dim]:
        raise UsageError(
            f'"training: matryoshka" of {max(too_long)} makes no sense: {recipe.model} has {dim:,} '
            "dimensions"
        )
    model.max_seq_length = min(recipe.training.max_length, model.max_seq_length or 10**9)
    _set_dropout(model, recipe.training.dropout)
    pooling: Any
    for pooling in model:
        if hasattr(pooling, "include_prompt"):
            pooling.include_prompt &= spec.prompt_in_pooling


def _set_dropout(model: nn.Module, share: float) -> None:
    module: Any
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout_prob"):  # what attention reads as a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _add_adapter(model: SentenceTransformer, recipe: Recipe) -> nn.Module:
    """Freeze the base, add the adapter, and return the transformer with it."""
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.targets) or "all-linear",
        exclude_modules=r"pooler\..*",  # BERT's own: no vector goes through it
        base_model_name_or_path=recipe.model,
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise UsageError(f"the recipe does not fit {recipe.model}: {error}") from error
    for module in list(model)[1:]:
        module.requires_grad_(requires_grad=False)  # a Dense layer is no part of an adapter
    first: Any = model[0]
    backbone: nn.Module = first.auto_model
    backbone.peft_config[_ADAPTER].base_model_name_or_path = recipe.model  # type: ignore[index,union-attr]  # PEFT puts it there
    return backbone


def _dataset(
    item: Examples, model: SentenceTransformer, recipe: Recipe, spec: ModelSpec
) -> Dataset:
    texts: Any = list(zip(*(example.texts for example in item.train), strict=True))
    match item.form:
        case Form.SCORED:
            columns = {"sentence1": texts[0], "sentence2": texts[1]}
            return Dataset.from_dict(columns | {"score": [example.score for example in item.train]})
        case Form.LABELLED:
            numbers = {label: number for number, label in enumerate(_labels(item))}
            labels = [numbers[example.label] for example in item.train]
            return Dataset.from_dict({"text": texts[0], "label": labels})
        case Form.RATED:
            names = ["query", *(f"document_{number}" for number in range(1, len(texts)))]
            columns = dict(zip(names, texts, strict=True))
            return Dataset.from_dict(
                columns | {"scores": [example.ratings for example in item.train]}
            )
    names = ["anchor", "positive", "negative"]
    pairs = Dataset.from_dict(dict(zip(names, texts, strict=False)))
    if item.source.negatives and len(texts) == len(Form.PAIRS.value):
        pairs = _mined(pairs, item.source.negatives, model, recipe, spec)
    return pairs


def _labels(item: Examples) -> list[str]:
    return sorted({example.label for example in item.train})


def _mined(
    pairs: Dataset, count: int, model: SentenceTransformer, recipe: Recipe, spec: ModelSpec
) -> Dataset:
    """Add the documents that the base takes for an anchor's, but not those too near its own."""
    # the library's progress bars cannot be turned off
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        mined = mine_hard_negatives(
            pairs,
            model,
            anchor_column_name="anchor",
            positive_column_name="positive",
            range_max=MINED_FROM,
            relative_margin=MINED_MARGIN,
            num_negatives=count,
            output_format="n-tuple",
            query_prompt=spec.query_prompt or None,
            corpus_prompt=spec.document_prompt or None,
            batch_size=recipe.training.batch,
            verbose=False,
        )
    if not len(mined):
        raise BadInputError(
            f"no pair has {count} documents near its anchor that are not too near",
            hint="fewer negatives in the recipe",
        )
    return mined


def _loss(model: SentenceTransformer, form: Form, recipe: Recipe) -> nn.Module:
    how = recipe.training
    loss: nn.Module
    if form is Form.SCORED:
        loss = losses.CoSENTLoss(model, scale=how.scale)
    elif form is Form.LABELLED:
        distance = losses.BatchHardTripletLossDistanceFunction.cosine_distance
        loss = losses.BatchAllTripletLoss(model, distance_metric=distance, margin=how.margin)
    elif form is Form.RATED:
        loss = losses.DistillKLDivLoss(model, similarity_fct=_ScaledCosine(how.scale))
    elif how.batch <= how.mini_batch:  # then the cache gives the same gradients, and is slower
        loss = losses.MultipleNegativesRankingLoss(model, scale=how.scale)
    else:
        loss = losses.CachedMultipleNegativesRankingLoss(
            model, scale=how.scale, mini_batch_size=how.mini_batch
        )
    if how.matryoshka:
        dims = sorted({*how.matryoshka, int(model.get_embedding_dimension() or 0)}, reverse=True)
        loss = losses.MatryoshkaLoss(model, loss, matryoshka_dims=dims)
    return loss


class _ScaledCosine:
    """Cosines of float[n, dim] and float[n, dim], times a number: what the softmax is taken of."""

    __name__ = "scaled_cosine"  # the loss writes it down

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cosine_similarity(first, second) * self._scale


def _arguments(
    recipe: Recipe, spec: ModelSpec, work: Path, device: str
) -> SentenceTransformerTrainingArguments:
    how = recipe.training
    every = min(how.eval_steps, how.steps)
    numbers = range(1, MINED_FROM + 1)
    numbered = [f"{name}_{number}" for number in numbers for name in ("negative", "document")]
    prompts = {
        **dict.fromkeys(("anchor", "query", "sentence1"), spec.query_prompt),
        **dict.fromkeys(("positive", "negative", "sentence2", "text"), spec.document_prompt),
        **dict.fromkeys(numbered, spec.document_prompt),
    }
    return SentenceTransformerTrainingArguments(
        output_dir=str(work),
        max_steps=how.steps,
        per_device_train_batch_size=how.batch,
        learning_rate=how.learning_rate,
        warmup_steps=int(how.warmup * how.steps),
        bf16=how.precision == "bf16",
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=device == "cpu",
        prompts={name: prompt for name, prompt in prompts.items() if prompt} or None,
        batch_sampler=_sampler,
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


def _sampler(
    dataset: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator,
    **options: Any,  # noqa: ANN401  # the trainer's
) -> DefaultBatchSampler:
    """Choose how batches are drawn: labels need two of a kind, pairs no text twice."""
    columns = set(dataset.column_names)
    if "label" in columns:
        return GroupByLabelBatchSampler(dataset, batch_size, generator=generator, **options)
    if "anchor" in columns:
        return NoDuplicatesBatchSampler(dataset, batch_size, generator=generator, **options)
    rows = SubsetRandomSampler(range(len(dataset)), generator=generator)
    return DefaultBatchSampler(rows, batch_size, generator=generator, **options)


class _Reporter(TrainerCallback):
    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401  # transformers'
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

"""What makes a model silently wrong elsewhere: each trap is seen, and closed or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import BertModel

from taskembed.encoding._local import LocalEncoder
from taskembed.encoding.compile.convert import Converted
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from tests import tiny_families, tiny_models
from tests.conftest import Run
from tests.parity import references

TEXTS = ["fox", "the quick brown fox jumps over the lazy dog", "long " * 200 + "text"]
NO_PROMPTS = PromptOverrides(query_prompt="", document_prompt="")


def settings(cache: Path, **changes: Any) -> EngineSettings:  # noqa: ANN401  # of any type
    return EngineSettings(
        **{"device": "cpu", "precision": "fp32", "offline": True, "cache": cache, **changes}
    )


@pytest.mark.slow
def test_a_default_prompt_name_is_not_acted_on(tmp_path: Path, cache: Path) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    tiny_families.change_json(
        model / "config_sentence_transformers.json",
        prompts={"query": "q: ", "document": "d: ", "other": "other: "},
        default_prompt_name="other",
    )
    encoder = load_encoder(str(model), Task.RETRIEVAL, settings=settings(cache))
    for side, prompt in ((PromptType.QUERY, "q: "), (PromptType.DOCUMENT, "d: ")):
        expected = references.by_sentence_transformers(model, prompt, TEXTS)
        assert np.abs(encoder.encode(TEXTS, side).vectors - expected).max() < 1e-5


@pytest.mark.slow
def test_a_prompt_saved_as_passage_is_in_doubt_as_the_library_never_reads_it(
    tmp_path: Path, cache: Path
) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    tiny_families.change_json(
        model / "config_sentence_transformers.json",
        prompts={"query": "search_query: ", "passage": "search_document: "},
    )
    by_library = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    bare = references.by_sentence_transformers(model, "", TEXTS)
    assert np.abs(by_library.encode_document(TEXTS) - bare).max() < 1e-5
    with pytest.raises(ModelUnavailableError, match="it is not clear which is right"):
        load_encoder(str(model), Task.RETRIEVAL, settings=settings(cache))


@pytest.mark.slow
def test_a_tokenizer_that_lost_its_end_token_gets_it_back(tmp_path: Path) -> None:
    model = tiny_families.save_gte_qwen2(tmp_path / "model")
    own = tiny_families.tokenizer_of(model)
    assert own("fox")["input_ids"][-1] != own.eos_token_id  # the trap: transformers 5 adds none
    said: list[str] = []
    encoder = load_encoder(
        str(model),
        Task.RETRIEVAL,
        stated=PromptOverrides(family="gte-qwen2-instruct"),
        settings=settings(tmp_path / "cache", trust_remote_code=True, notify=said.append),
    )
    assert isinstance(encoder, LocalEncoder)
    notes = [
        line for line in said if line.startswith("note: <|endoftext|> is put after every text")
    ]
    assert len(notes) == 1
    for text in TEXTS:
        assert encoder.tokenizer(PromptType.DOCUMENT).pieces(text)[-1] == "<|endoftext|>"


@pytest.mark.slow
def test_a_known_model_whose_tokenizer_ends_otherwise_is_refused(
    tmp_path: Path, cache: Path, hub: Path
) -> None:
    model = tiny_models.save_qwen3(tmp_path / "model")
    tiny_models.byte_pairs(end_token=False).save_pretrained(model)
    tiny_models.publish(model, hub, "Qwen/Qwen3-Embedding-0.6B")
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder("Qwen/Qwen3-Embedding-0.6B", Task.RETRIEVAL, settings=settings(cache))
    assert refusal.value.message == (
        "the tokenizer of Qwen/Qwen3-Embedding-0.6B does not put <|endoftext|> at the end of a "
        "text, where the model's vector is taken from: every vector would be silently wrong"
    )


def test_a_tokenizer_without_tokenizer_json_is_made_from_its_vocabulary(
    tmp_path: Path, cache: Path
) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    vocabulary: dict[str, int] = tiny_families.tokenizer_of(model).get_vocab()
    words = sorted(vocabulary, key=lambda word: vocabulary[word])
    (model / "vocab.txt").write_text("\n".join(words) + "\n")
    (model / "tokenizer.json").unlink()
    tiny_models.write_json(
        model / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64},
    )
    encoder = load_encoder(str(model), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(cache))
    expected = references.by_sentence_transformers(model, "", TEXTS)
    assert np.abs(encoder.encode(TEXTS, PromptType.QUERY).vectors - expected).max() < 1e-5


@pytest.mark.parametrize("device", ["openvino", "torch"])
def test_fp16_is_refused_where_it_overflows(
    device: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "torch":
        monkeypatch.setattr(
            "taskembed.encoding.compile.convert.to_openvino",
            lambda *_: Converted(b"", "as a test wants it"),
        )
        cache = tmp_path / "cache"
    model = tiny_families.save_t5(tmp_path / "model")
    encoder = load_encoder(
        str(model),
        Task.RETRIEVAL,
        stated=PromptOverrides(family="instructor"),
        settings=settings(cache, precision="fp16"),
    )
    with pytest.raises(UsageError) as refusal:
        encoder.encode(TEXTS, PromptType.QUERY)
    assert refusal.value.message == f"{model} overflows in fp16: its vectors would be wrong"
    assert refusal.value.hint == "--precision bf16, or fp32"


def test_a_module_that_is_only_a_pickle_is_refused(tmp_path: Path, cache: Path) -> None:
    model = tiny_families.save_t5(tmp_path / "model")
    (model / "2_Dense" / "model.safetensors").unlink()
    (model / "2_Dense" / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder(
            str(model),
            Task.RETRIEVAL,
            stated=PromptOverrides(family="instructor"),
            settings=settings(cache),
        )
    assert refusal.value.message == (
        f"the model {str(model)!r} has no weights as safetensors: there is only "
        "2_Dense/pytorch_model.bin, a pickle, which can run code when it is loaded"
    )


def test_weights_that_are_missing_are_not_random_numbers(tmp_path: Path, cache: Path) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    path = model / "model.safetensors"
    weights = {
        key: value for key, value in load_file(path).items() if "layer.1.output.dense" not in key
    }
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder(str(model), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(cache))
    assert refusal.value.message.startswith(
        f"the model {str(model)!r} cannot be loaded: its files lack the weights "
        "encoder.layer.1.output.dense."
    )
    BertModel.from_pretrained(model)  # the trap: it loads, with random numbers


def test_a_missing_pooler_is_not_refused(tmp_path: Path, cache: Path) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    path = model / "model.safetensors"
    weights = {key: value for key, value in load_file(path).items() if "pooler" not in key}
    save_file(weights, path, metadata={"format": "pt"})
    load_encoder(str(model), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(cache))


def test_a_stock_class_does_not_stand_in_silently_for_a_model_s_own(
    tmp_path: Path, run: Run
) -> None:
    model = tiny_families.save_gte_qwen2(tmp_path / "model")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "fox"}\n')
    words = ("index", corpus, "--task", "retrieval", "--model", model, "--index", tmp_path / "i")
    prompts = ("--query-prompt", "", "--document-prompt", "")
    done = run(*words, *prompts)
    assert done.code == 69
    assert done.err.splitlines()[0] == (
        f"taskembed: error: {model} has its own Python code, and belongs to no known family that "
        "runs without it"
    )
    assert run(*words, *prompts, "--trust-remote-code").code == 0


def test_code_is_trusted_only_at_a_commit(tmp_path: Path, run: Run, hub: Path) -> None:
    model = tiny_families.save_with_code(tmp_path / "model")
    tiny_models.publish(model, hub, "nomic-ai/nomic-embed-text-v2-moe")
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "fox"}\n')
    words = ("--task", "retrieval", "--model", "nomic-ai/nomic-embed-text-v2-moe")
    done = run("index", corpus, *words, "--index", index)
    assert done.code == 69
    assert "needs Python code of its own to be loaded, which is not run unasked" in done.err
    for revision in ((), ("--revision", "main")):
        done = run("index", corpus, *words, "--index", index, "--trust-remote-code", *revision)
        assert done.code == 2
        assert done.err.splitlines()[0] == (
            "taskembed: error: --trust-remote-code runs the code of "
            "nomic-ai/nomic-embed-text-v2-moe: say which, so that it stays what you have read"
        )
    pinned = ("--trust-remote-code", "--revision", tiny_models.COMMIT)
    assert run("index", corpus, *words, "--index", index, *pinned).code == 0
    # its compiled form is in the cache: a search runs none of the code, and needs no permission
    (model / "modeling_own.py").touch()
    assert run("search", "fox", "--index", index).code == 0
    # elsewhere there is no compiled form: the search says what it needs
    done = run("search", "fox", "--index", index, "--cache", tmp_path / "empty")
    assert done.code == 69
    assert "--trust-remote-code" in done.err
    other = ("--cache", tmp_path / "empty", "--trust-remote-code")
    assert run("search", "fox", "--index", index, *other).code == 0
    (model / "modeling_own.py").write_text("raise SystemExit('another code')\n")
    assert run("search", "fox", "--index", index).code == 78


# Shorter vectors.


@pytest.mark.slow
def test_a_nomic_vector_is_normalised_by_layer_then_cut(
    tmp_path: Path, cache: Path, run: Run
) -> None:
    model = tiny_families.save_nomic(tmp_path / "model")
    prompts = tmp_path / "mine.toml"
    prompts.write_text('truncation = "layer-norm"\ntruncated_dims = [8, 16]\n')
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text("\n".join(json.dumps({"id": str(i), "text": t}) for i, t in enumerate(TEXTS)))
    words = ("--task", "retrieval", "--model", model, "--family", "nomic-v1.5")
    done = run(
        *("index", corpus, *words, "--prompts", prompts, "--dim", "16", "--index", index),
        *("--precision", "fp32"),
    )
    assert done.code == 0, done.err
    asked = ("search", "fox", "--index", index, "--precision", "fp32", "--mode", "dense")
    hits = run(*asked, "--format", "jsonl").lines
    full = {
        side: torch.tensor(references.by_sentence_transformers(model, prompt, texts))
        for side, prompt, texts in (
            ("query", "search_query: ", ["fox"]),
            ("document", "search_document: ", TEXTS),
        )
    }
    cut = {
        side: torch.nn.functional.normalize(
            torch.nn.functional.layer_norm(rows, (32,))[:, :16], dim=1
        )
        for side, rows in full.items()
    }
    expected = (cut["query"] @ cut["document"].T)[0].tolist()
    scores = {str(hit["doc_id"]): float(str(hit["score"])) for hit in hits}
    assert [scores[str(i)] for i in range(3)] == pytest.approx(expected, abs=1e-5)
    value: Any = run("info", "--index", index, "--json").json
    assert (value["space"]["dim"], value["space"]["truncation"]) == (16, "layer-norm")
    assert run("index", corpus, "--index", index).code == 0  # keeps its size, unasked
    done = run("index", corpus, *words, "--prompts", prompts, "--dim", "8", "--index", index)
    assert done.code == 78
    assert "  dim: the index has 16, not 8" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("dim", [16, 8])
def test_zembed_s_smaller_vectors_go_down_its_chain(dim: int, tmp_path: Path, cache: Path) -> None:
    model = tiny_families.save_zembed(tmp_path / "model")
    encoder = load_encoder(str(model), Task.RETRIEVAL, dim=dim, settings=settings(cache))
    assert (encoder.space.suffix, encoder.space.truncation) == ("<|im_end|>\n", "projection")
    prompt = "<|im_start|>system\ndocument<|im_end|>\n<|im_start|>user\n"
    expected = references.by_zembed(model, prompt, TEXTS, dim=dim)
    assert np.abs(encoder.encode(TEXTS, PromptType.DOCUMENT).vectors - expected).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_a_slice_of_zembed_is_refused(force: bool, tmp_path: Path, cache: Path) -> None:  # noqa: FBT001  # pytest
    model = tiny_families.save_zembed(tmp_path / "model")
    with pytest.raises(UsageError) as refusal:
        load_encoder(str(model), Task.RETRIEVAL, dim=20, force_dim=force, settings=settings(cache))
    assert refusal.value.message == (
        f"--dim 20: {model} has matrices for 8, 16, 32, and a slice of its vectors is useless"
    )
    assert refusal.value.hint == "--force-dim does not help here"
    (model / "projections.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match=r"has no projections.safetensors, and a slice"):
        load_encoder(
            str(model),
            Task.RETRIEVAL,
            stated=PromptOverrides(family="zembed-1"),
            dim=16,
            force_dim=force,
            settings=settings(cache),
        )


def test_a_size_that_the_model_was_not_trained_for_must_be_forced(
    tmp_path: Path, run: Run, hub: Path
) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="cls")
    tiny_models.publish(model, hub, "Snowflake/snowflake-arctic-embed-m-v1.5")
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "fox"}\n')
    words = ("index", corpus, "--task", "retrieval", "--index", index)
    named = ("--model", "Snowflake/snowflake-arctic-embed-m-v1.5")
    done = run(*words, *named, "--dim", "16")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == [
        "taskembed: error: --dim 16: Snowflake/snowflake-arctic-embed-m-v1.5 was not trained for "
        "that size, only for 256, 768",
        "taskembed: hint: --force-dim cuts its vectors anyway; measure the loss of quality",
    ]
    done = run(*words, *named, "--dim", "256")
    assert done.err.splitlines()[-1] == (
        "taskembed: error: --dim 256: the vectors of Snowflake/snowflake-arctic-embed-m-v1.5 have "
        "32 numbers"
    )
    assert run(*words, *named, "--dim", "16", "--force-dim", "--precision", "fp32").code == 0
    asked = ("search", "fox", "--index", index, "--precision", "fp32", "--mode", "dense")
    found = run(*asked).lines
    query = references.by_sentence_transformers(
        model, "Represent this sentence for searching relevant passages: ", ["fox"]
    )[0, :16]
    document = references.by_sentence_transformers(model, "", ["fox"])[0, :16]
    expected = query @ document / np.linalg.norm(query) / np.linalg.norm(document)
    assert float(str(found[0]["score"])) == pytest.approx(float(expected), abs=1e-5)

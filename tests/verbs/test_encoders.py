"""Which encoder an index is updated or searched with: as asked for, and for the rest its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.verbs.opening.encoders import check_request, encoder_for_update, find_moved
from taskembed.verbs.options import SpaceRequest
from tests.fakes import SPACE, HashEncoder

OF_E5 = replace(SPACE, model="intfloat/e5-small-v2", revision="abc")


class Loaders:
    """Stands in for what loads encoders, and remembers what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.called: dict[str, object] = {}
        monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder", self.load_encoder)
        monkeypatch.setattr(
            "taskembed.verbs.opening.encoders.load_encoder_of", self.load_encoder_of
        )

    def load_encoder(self, model: str | None, task: Task, **options: object) -> HashEncoder:
        self.called = {"model": model, "task": task, **options}
        return HashEncoder(model=model or "hash", task=task)

    def load_encoder_of(
        self, space: EmbeddingSpace, _: EngineSettings, **places: object
    ) -> HashEncoder:
        self.called = {"space": space, **places}
        return HashEncoder(space)


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> Loaders:
    return Loaders(monkeypatch)


def test_a_new_index_needs_a_task(loaders: Loaders) -> None:
    with pytest.raises(UsageError) as caught:
        encoder_for_update(None, SpaceRequest("minilm"))
    assert caught.value.message == "a new index needs a task"
    assert caught.value.hint == "use --task retrieval|similarity|classification|clustering|code"
    assert loaders.called == {}


def test_a_new_index_has_what_is_asked_for(loaders: Loaders) -> None:
    request = SpaceRequest("minilm", Task.CODE, dim=64, template="{title}")
    encoder = encoder_for_update(None, request)
    assert loaders.called["model"] == "minilm"
    assert loaders.called["task"] is Task.CODE
    assert loaders.called["dim"] == 64
    assert encoder.space.template == "{title}"
    assert encoder.encode(["a"], PromptType.QUERY).vectors.shape == (1, SPACE.dim)
    (some,) = encoder.encode_slices(["a"], PromptType.DOCUMENT)
    assert some[0].tolist() == [0]
    assert encoder.made_by["engine"] == "hash"


def test_a_new_index_has_the_default_template(loaders: Loaders) -> None:
    encoder = encoder_for_update(None, SpaceRequest("minilm", Task.CODE))
    assert encoder.space.template == "{title?} {text}"
    assert loaders.called["model"] == "minilm"


def test_an_update_that_asks_for_nothing_has_the_encoder_of_the_index(loaders: Loaders) -> None:
    space = replace(OF_E5, query_prompt="as it was then: ", template="{body}")
    encoder_for_update(space, SpaceRequest())
    assert loaders.called == {"space": space, "model": None, "adapter": None}


def test_a_new_index_in_place_of_another_has_the_prompts_of_today(loaders: Loaders) -> None:
    space = replace(OF_E5, query_prompt="as it was then: ", template="{body}")
    encoder = encoder_for_update(space, SpaceRequest(), recreate=True)
    assert loaders.called["model"] == "intfloat/e5-small-v2"
    assert loaders.called["revision"] == "abc"
    assert loaders.called["stated"] == PromptOverrides()
    assert encoder.space.template == "{body}"


def test_a_new_index_of_another_model_does_not_have_the_old_revision(loaders: Loaders) -> None:
    encoder_for_update(OF_E5, SpaceRequest("intfloat/e5-base-v2"), recreate=True)
    assert loaders.called["model"] == "intfloat/e5-base-v2"
    assert loaders.called["revision"] is None
    assert loaders.called["task"] is Task.RETRIEVAL


def test_vectors_that_were_shortened_stay_so(loaders: Loaders) -> None:
    space = replace(OF_E5, truncation="matryoshka", dim=8)
    encoder_for_update(space, SpaceRequest(), recreate=True)
    assert (loaders.called["dim"], loaders.called["force_dim"]) == (8, True)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SpaceRequest(task=Task.CODE), "task"),
        (SpaceRequest(dim=8), "dim"),
        (SpaceRequest(template="{title}"), "template"),
        (SpaceRequest(stated=PromptOverrides(query_prompt="find: ")), "query_prompt"),
    ],
)
def test_an_update_of_another_space_is_refused_before_a_model_is_loaded(
    loaders: Loaders, request_: SpaceRequest, field: str
) -> None:
    with pytest.raises(SpaceMismatchError, match=rf"\n  {field}: "):
        encoder_for_update(SPACE, request_)
    assert loaders.called == {}
    check_request(SPACE, request_, recreate=True)  # a new index is of any space


def test_a_licence_that_forbids_commercial_use_is_reported_for_a_new_index(
    loaders: Loaders,
) -> None:
    notes: list[str] = []
    settings = EngineSettings(notify=notes.append)
    request = SpaceRequest("jinaai/jina-embeddings-v3", Task.RETRIEVAL)
    encoder_for_update(None, request, settings)
    encoder_for_update(None, SpaceRequest("minilm", Task.RETRIEVAL), settings)
    (note,) = notes
    assert note.startswith("note: jinaai/jina-embeddings-v3 is not for commercial use: its licence")


def test_a_request_takes_names_and_refuses_what_can_be_none() -> None:
    assert SpaceRequest(task="code").task is Task.CODE  # type: ignore[arg-type]  # a name will do
    with pytest.raises(ValueError, match="'nothing'"):
        SpaceRequest(task="nothing")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dim is 0"):
        SpaceRequest(dim=0)
    with pytest.raises(UsageError, match="has no field"):
        SpaceRequest(template="text")


def test_a_model_that_was_not_moved_is_nowhere_else(tmp_path: Path) -> None:
    assert find_moved(SPACE, None) is None
    assert find_moved(SPACE, "hash") is None

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from taskembed.encoding._batches import Batch, batches, pair_batches
from taskembed.encoding.tokens import PromptTokenizer, Tokens, load_tokenizer

WORDS = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "q": 3, ":": 4, "a": 5, "b": 6, "c": 7, "end": 8}


def tokenizer() -> Tokenizer:
    """One token a word, with [CLS] before and [SEP] after."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[PAD]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def ids(text: str, **options: object) -> list[int]:
    settings = {"prompt": "", "max_length": 16, **options}
    return PromptTokenizer(tokenizer(), **settings).tokenize([text])[0].ids  # type: ignore[arg-type]  # each option has its type


def test_prompt_and_text_stand_between_the_special_tokens() -> None:
    assert ids("a b", prompt="q: ") == [1, 3, 4, 5, 6, 2]


def test_a_text_is_cut_so_that_everything_fits() -> None:
    encoder = PromptTokenizer(tokenizer(), prompt="q: ", max_length=6)
    fits, cut = encoder.tokenize(["a b", "a b c"])
    assert (fits.ids, fits.truncated) == ([1, 3, 4, 5, 6, 2], False)
    assert (cut.ids, cut.truncated) == ([1, 3, 4, 5, 6, 2], True)


def test_the_suffix_is_put_on_after_the_cut() -> None:
    encoder = PromptTokenizer(tokenizer(), prompt="", suffix="end", max_length=5)
    assert encoder.tokenize(["a b c c c"])[0].ids == [1, 5, 6, 8, 2]


def test_an_excluded_prompt_is_read_but_not_pooled() -> None:
    encoder = PromptTokenizer(tokenizer(), prompt="q: ", max_length=8, prompt_in_pooling=False)
    tokens = encoder.tokenize(["a"])
    batch = next(batches([(0, tokens[0])], 100))
    assert batch.input_ids.tolist() == [[1, 3, 4, 5, 2]]
    assert [array.tolist() for array in batch.inputs] == [
        [[1, 3, 4, 5, 2]],
        [[1, 1, 1, 1, 1]],
        [[0, 0, 0, 1, 1]],
    ]


def test_a_batch_says_which_of_its_texts_are_truncated() -> None:
    items = [(4, Tokens([1, 5, 2], 0, truncated=True)), (0, Tokens([1, 2], 0, truncated=False))]
    (batch,) = batches(items, 100)
    assert (batch.rows.tolist(), batch.truncated.tolist()) == ([4, 0], [True, False])
    assert batch.token_types is None


def test_pairs_have_types_where_the_model_takes_them() -> None:
    items = [
        (0, Tokens([1, 5, 2, 6, 2], 0, truncated=False, types=[0, 0, 0, 1, 1])),
        (1, Tokens([1, 5, 2], 0, truncated=False, types=[0, 0, 1])),
    ]
    (typed,) = pair_batches(items, 100, with_types=True)
    assert [array.tolist() for array in typed.inputs] == [
        [[1, 5, 2, 6, 2], [1, 5, 2, 0, 0]],
        [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]],
    ]
    (plain,) = pair_batches(items, 100, with_types=False)
    assert [array.tolist() for array in plain.inputs] == [
        array.tolist() for array in typed.inputs[:2]
    ]


def test_tokens_are_shown_as_the_vocabulary_spells_them() -> None:
    encoder = PromptTokenizer(tokenizer(), prompt="q: ", max_length=8)
    assert encoder.pieces("a") == ["[CLS]", "q", ":", "a", "[SEP]"]


def test_a_saved_tokenizer_neither_cuts_nor_pads_by_itself() -> None:
    saved = tokenizer()
    saved.enable_truncation(3)
    saved.enable_padding(length=9)
    loaded = load_tokenizer(saved.to_str())
    assert loaded.encode("a b c").ids == [1, 5, 6, 7, 2]


def sized(*lengths: int) -> list[tuple[int, Tokens]]:
    return [(row, Tokens([5] * length, 0, truncated=False)) for row, length in enumerate(lengths)]


def test_a_batch_holds_no_more_than_its_budget_padding_included() -> None:
    shapes = [batch.input_ids.shape for batch in batches(sized(4, 4, 3, 2, 2, 1), budget=8)]
    assert shapes == [(2, 4), (2, 3), (2, 2)]


def test_a_text_beyond_the_budget_is_a_batch_of_its_own() -> None:
    shapes = [batch.input_ids.shape for batch in batches(sized(9, 2), budget=8)]
    assert shapes == [(1, 9), (1, 2)]


def test_padding_is_on_the_right_and_masked() -> None:
    (batch,) = batches(sized(3, 1), budget=100)
    assert isinstance(batch, Batch)
    assert batch.rows.tolist() == [0, 1]
    assert batch.input_ids.tolist() == [[5, 5, 5], [5, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_no_texts_are_no_batches() -> None:
    assert list(batches([], budget=8)) == []


def test_special_tokens_are_found_where_the_vocabulary_has_no_letters() -> None:
    # a model of pairs leaves out what it does not know
    made = Tokenizer(models.BPE(vocab={"[CLS]": 0, "[SEP]": 1, "x": 2}, merges=[]))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    encoder = PromptTokenizer(made, prompt="", max_length=9)
    assert encoder.tokenize(["a"])[0].ids == [0, 1]

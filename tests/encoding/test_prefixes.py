"""A long text is read in part; its tokens are those of the whole, whatever the tokenizer is."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import cache

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from taskembed.encoding._prefixes import LONGEST_BYTES, LongTextTokenizer, grouped
from taskembed.encoding.tokens import PairTokenizer, PromptTokenizer, load_tokenizer
from taskembed.errors import BadInputError, TextTooLongError
from taskembed.models.files import BUNDLED, Hub

SPACE = "\u2581"  # what sentencepiece writes for a space
LETTERS = "abcdefghijklmnopqrstuvwxyz"
GPT2_REGEX = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
WORDS = (
    *("fox", "a", "b", "the", "quick", "jumps", "dog", "don't", "I'LL", "12345", "3.14", "x" * 30),
    *("aabbab" * 7, "\u4e2d\u6587", "\u4ec0\u4e48\uff0c\u662f", "\u65e5\u672c\u8a9e\u3002"),
    *("\ufb01ne", "e\u0301", "\u00e9", "\u0301", "\u3300", "\ufdfa", "\U0001f642", "\u200d"),
    *("na\u00efve", "Stra\u00dfe", "\u0130", "\u0441\u043b\u043e\u0432\u043e", "test's", "<m>"),
    *('{"k":1,"b":[', "a<b>c</b>", "x=y;z", "Ab+9/c", "\u5f57\u661f\u3068\u306f"),
    *("(x)", "--", "...", "!", "\u05e9\u05dc\u05d5\u05dd", SPACE, f"a{SPACE}b", "\xa0", "\ufeff"),
)
GAPS = (
    *(" ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "", "\uff0c", "\u3002", ", "),
    *("\n\t", " \t ", "\r", ". ", "\u3000", "\u2003", "\x00", "\x0b", "\u0085"),
)


# no seam is known in them: a token goes on over a space, or a pattern is not known
READ_WHOLE = {
    "WordPiece, a token of two words",
    "pairs over spaces",
    "pairs, unknown pattern",
}


def wordpiece(*added: AddedToken) -> Tokenizer:
    made = load_tokenizer((Hub().folder(BUNDLED)[0] / "tokenizer.json").read_text())
    made.add_tokens(list(added))
    return made


def pairs(rng: random.Random, *, crossing: bool = False) -> Tokenizer:
    """Return byte pairs at random over some letters, with joined spaces."""
    characters = [*LETTERS, *LETTERS.upper(), *"0123456789.,!'()<>\n", SPACE, "\u4e2d", "\u6587"]
    vocabulary = {character: number for number, character in enumerate(["<unk>", *characters])}
    merges, known = [], [*"abfoxdg", SPACE, "\u4e2d"]
    for _ in range(300):
        left, right = rng.choice(known), rng.choice(known)
        if right.startswith(SPACE) and left.strip(SPACE) and not crossing:
            continue
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            merges.append((left, right))
            known.append(left + right)
    return Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))


def unigram(rng: random.Random) -> Tokenizer:
    pieces = dict.fromkeys([*LETTERS, *"0123456789.,!'\n", SPACE, *pairs(rng).get_vocab()])
    scores = [(piece, -len(piece) * rng.random() * 3 - 1) for piece in pieces]
    return Tokenizer(models.Unigram([("<unk>", 0.0), *scores], unk_id=0))


def byte_level(pattern: str) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    merges = []
    for left, right in (
        "\u0120f",
        "ox",
        "\u0120t",
        "he",
        "\u0120\u0120",
        "12",
        "ab",
        "\u010a\u010a",
    ):
        vocabulary[left + right] = len(vocabulary)
        merges.append((left, right))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, whole])
    return made


def joined(
    made: Tokenizer,
    normalizer: normalizers.Normalizer | None,
    pre_tokenizer: pre_tokenizers.PreTokenizer | None = None,
) -> Tokenizer:
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    return made


@cache
def tokenizers() -> dict[str, Tokenizer]:
    rng = random.Random(5)
    blank = normalizers.Replace(" ", SPACE)
    llama = normalizers.Sequence([normalizers.Prepend(SPACE), blank])
    squeezed = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    stripped = normalizers.Sequence([normalizers.Strip(), normalizers.NFKC()])
    meta = pre_tokenizers.Metaspace
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), meta()])
    previous = pre_tokenizers.Split(" ", "merged_with_previous")
    unknown = pre_tokenizers.Split(Regex(r"\w+\s+\w+|\s+"), "isolated")
    return {
        "WordPiece": wordpiece(),
        "WordPiece, a token of two words": wordpiece(AddedToken("fox ju", normalized=False)),
        "WordPiece, tokens that eat spaces": wordpiece(
            AddedToken("<m>", lstrip=True, rstrip=True),
            AddedToken("dog", single_word=True),
            AddedToken("\u4e2d", single_word=True),
            AddedToken("  "),
        ),
        "bytes, GPT-2": byte_level(GPT2_REGEX[0]),
        "bytes, Qwen": byte_level(GPT2_REGEX[1]),
        "pairs, Gemma": joined(pairs(rng), blank, previous),
        "pairs, Llama": joined(pairs(rng), llama),
        "pairs over spaces": joined(pairs(rng, crossing=True), llama),
        "pairs, Metaspace": joined(pairs(rng), None, meta(prepend_scheme="first")),
        "pairs, unknown pattern": joined(pairs(rng), None, unknown),
        "Unigram, words": joined(unigram(rng), squeezed, words),
        "Unigram, Metaspace": joined(unigram(rng), stripped, meta()),
        "Unigram, whole": joined(unigram(rng), normalizers.NFKC(), meta(split=False)),
    }


def text(rng: random.Random) -> str:
    parts = []
    simple = rng.random() < 0.4
    for _ in range(rng.randrange(1, 120)):
        gap = " " if simple and rng.random() < 0.8 else rng.choice(GAPS)
        parts += [rng.choice(WORDS), gap * rng.choice([1, 1, 1, 1, 1, 3, 20])]
    if rng.random() < 0.1:
        run = rng.choice(["a", " ", "\u4e2d", "\n", "!", "ab", "\u00e9"])
        parts.insert(rng.randrange(len(parts)), run * rng.randrange(50, 600))
    return "".join(parts)


@pytest.mark.parametrize("rounds", [2, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("from_end", [False, True])
@pytest.mark.parametrize("name", tokenizers())
def test_what_is_kept_of_a_long_text_is_what_the_whole_begins_or_ends_with(
    name: str, rounds: int, *, from_end: bool
) -> None:
    tokenizer = tokenizers()[name]
    rng = random.Random(f"{name} {from_end}")
    for _ in range(rounds):
        texts = [text(rng) for _ in range(20)]
        whole = [item.ids for item in tokenizer.encode_batch(texts, add_special_tokens=False)]
        room = rng.choice([0, 1, 2, 3, 5, 8, 13, 21])
        reader = LongTextTokenizer(tokenizer, shortest=rng.choice([8, 20, 60]))
        for ids, all_ids in zip(reader.encode(texts, room, from_end=from_end), whole, strict=True):
            start = (max(len(ids) - room, 0), max(len(all_ids) - room, 0)) if from_end else (0, 0)
            assert ids[start[0] :][:room] == all_ids[start[1] :][:room]
            assert (len(ids) > room) == (len(all_ids) > room)


@pytest.mark.parametrize("name", ["WordPiece", "bytes, GPT-2", "bytes, Qwen"])
@pytest.mark.parametrize(
    "one",
    [
        "\u5f57\u661f\u3068\u306f\u4f55\u3067\u3059\u304b\u3002\u4ec0\u4e48\u662f\u5f57\u661f\uff0c",
        '{"fox":[1,"dog"],"k":2}',
        "aGVsbG8+d29ybGQ/Zm9v",
        "fox(dog)\r\n\tfox = dog\n",
    ],
)
def test_of_text_without_spaces_between_words_no_more_is_read_than_is_needed(
    name: str, one: str
) -> None:
    ids = LongTextTokenizer(tokenizers()[name]).encode([one * 6_000], 100)[0]
    assert 100 < len(ids) < 30_000


@pytest.mark.parametrize("name", sorted(set(tokenizers()) - READ_WHOLE))
def test_of_prose_no_more_is_read_than_is_needed(name: str) -> None:
    prose = "the quick fox jumps over a dog and another one, then it sleeps. " * 2_000
    ids = LongTextTokenizer(tokenizers()[name]).encode([prose], 100)[0]
    assert 100 < len(ids) < 8_192


@pytest.mark.parametrize(
    "one", ["x\u00e9\U0001f642" * 99_000, " " * 300_000, ("Ab1" * 90 + "\n" * 9_000) * 40]
)
def test_of_an_unknown_word_and_of_a_gap_no_more_is_read_than_is_needed(one: str) -> None:
    tokenizer = tokenizers()["WordPiece"]
    whole = "fox " + one + "dog"
    [read] = LongTextTokenizer(tokenizer).shortened([whole], 100)
    assert len(read) < 6_000
    ids = tokenizer.encode(read, add_special_tokens=False).ids
    assert ids == tokenizer.encode(whole, add_special_tokens=False).ids


@pytest.mark.parametrize("from_end", [False, True])
def test_of_marks_that_are_words_no_more_is_read_than_is_needed(*, from_end: bool) -> None:
    reader = LongTextTokenizer(tokenizers()["WordPiece"])
    [ids] = reader.encode(["fox " + "!" * 300_000 + " dog"], 100, from_end=from_end)
    assert 100 < len(ids) < 6_000


def test_an_unknown_tokenizer_reads_a_text_whole() -> None:
    tokenizer = tokenizers()["pairs, unknown pattern"]
    prose = "the quick fox jumps over a dog. " * 1_000
    whole = tokenizer.encode(prose, add_special_tokens=False).ids
    reader = LongTextTokenizer(tokenizer)
    assert reader.shortened([prose], 10) == [prose]
    [ids] = reader.encode([prose], 10)
    assert len(ids) > 10
    assert ids == whole[: len(ids)]


@pytest.mark.parametrize("from_end", [False, True])
@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("bytes, Qwen", "x" * 2_000),
        ("bytes, GPT-2", "\U0001f642" * 500),
        ("pairs, unknown pattern", "the quick fox. " * 100),
        ("Unigram, whole", "aab" * 700),
    ],
)
def test_what_would_be_read_in_one_piece_is_bounded(name: str, one: str, *, from_end: bool) -> None:
    reader = LongTextTokenizer(tokenizers()[name], shortest=64, longest=1_000)
    with pytest.raises(TextTooLongError, match=f"the text has {len(one):,} characters") as caught:
        reader.encode(["a fox", one, "a dog", one], 10, from_end=from_end)
    assert list(caught.value.reasons) == [1, 3]
    short = one[: 1_000 // len(one[0].encode())]
    [ids] = reader.encode([short], 10, from_end=from_end)
    whole = tokenizers()[name].encode(short, add_special_tokens=False).ids
    assert ids == (whole[-len(ids) :] if from_end else whole[: len(ids)])
    assert len(ids) > 10


def test_a_text_with_a_seam_within_the_bound_is_read() -> None:
    tokenizer = tokenizers()["bytes, Qwen"]
    one = "x" * 900 + " fox" + "y" * 5_000
    [ids] = LongTextTokenizer(tokenizer, shortest=64, longest=1_000).encode([one], 10)
    assert ids[:10] == tokenizer.encode(one, add_special_tokens=False).ids[:10]


def test_an_endless_word_of_bert_is_no_text_that_is_too_long() -> None:
    reader = LongTextTokenizer(wordpiece(), longest=9_000)
    assert len(reader.encode(["x" * 1_000_000], 10)[0]) == 1


def test_no_more_is_tokenised_at_once_than_is_bounded() -> None:
    assert list(grouped(["aaa", "b", "cc", "dddd", "e"], str, 3)) == [
        ["aaa"],
        ["b", "cc"],
        ["dddd"],
        ["e"],
    ]


@pytest.mark.slow
def test_a_text_that_is_too_long_is_named_by_its_row_and_a_query_by_itself() -> None:
    endless = "x" * (LONGEST_BYTES + 1)
    prompted = PromptTokenizer(tokenizers()["bytes, Qwen"], prompt="query: ", max_length=64)
    with pytest.raises(TextTooLongError) as caught:
        prompted.tokenize(["a fox", endless])
    assert list(caught.value.reasons) == [1]
    pair = PairTokenizer(wordpiece(), max_length=64)
    with pytest.raises(BadInputError, match=r"the query has 4,194,305 characters"):
        pair.tokenize(endless, ["a fox"])


def test_a_text_that_is_cut_says_so_and_one_that_shrinks_does_not() -> None:
    prompted = PromptTokenizer(wordpiece(), prompt="query: ", max_length=64)
    shrinks = "fox" + " \u200b" * 50_000 + "dog"
    cut, fits = prompted.tokenize(["the quick fox. " * 10_000, shrinks])
    assert (len(cut.ids), cut.truncated) == (64, True)
    assert (len(fits.ids), fits.truncated) == (6, False)


def test_a_text_that_loses_its_beginning_is_read_from_its_end() -> None:
    reader = PromptTokenizer(wordpiece(), prompt="query: ", max_length=8, cut_left=True)
    [tokens] = reader.tokenize(["the quick fox. " * 10_000 + "a dog jumps over a fox"])
    assert wordpiece().decode(tokens.ids) == "a dog jumps over a fox"
    assert tokens.truncated


@pytest.mark.parametrize("limit", [30, 64])
@pytest.mark.parametrize("query", ["a fox", "fox dog " * 20])
def test_a_pair_is_that_of_the_whole_texts(query: str, limit: int) -> None:
    tokenizer = wordpiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 101), ("[SEP]", 102)],
    )
    texts = ["the quick brown fox jumps. " * 700, "short", "x" * 9_000, "fox " * 3_001]
    pairs_of = PairTokenizer(load_tokenizer(tokenizer.to_str()), max_length=limit)
    tokenizer.enable_truncation(limit, strategy="longest_first")
    whole = tokenizer.encode_batch([(query, one) for one in texts])
    found = pairs_of.tokenize(query, texts)
    assert [item.ids for item in found] == [item.ids for item in whole]
    assert [item.truncated for item in found] == [bool(item.overflowing) for item in whole]


def test_a_text_of_forty_megabytes_takes_little_memory() -> None:
    code = (
        "import resource; from taskembed.encoding.tokens import *; "
        "from taskembed.models.files import *; "
        "t = load_tokenizer((Hub().folder('minilm')[0] / 'tokenizer.json').read_text()); "
        "p = PromptTokenizer(t, prompt='', max_length=256); x = 'the quick fox. ' * 2_700_000; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "assert len(p.tokenize([x])[0].ids) == 256; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024  # KiB; read whole, 4 GB

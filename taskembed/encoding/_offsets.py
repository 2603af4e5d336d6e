"""The positions of tokens in a text, and a test of whether a tokenizer reports them correctly.

Some fast tokenizers report wrong positions, for example those of Llama 3
(https://github.com/huggingface/tokenizers/issues/1553).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

Ints = npt.NDArray[np.int64]

PROBES = (
    "The quick brown fox, it's said, jumps over 13 lazy dogs. Unbelievably extraordinary!",
    "def read_file(path: str) -> bytes:\n    return open(path, 'rb').read()  # whole",
    "Zoë paid 3.50 € for a café crème in Łódź; naïve façade, Übergröße.",
    "the  cat\n\nsat\ton   the mat",
)
_SURPLUS = 2  # tokens; allowed difference if a text is cut before a space


def offsets_of(tokenizer: Tokenizer, text: str) -> Ints:
    """Return int64[n, 2]: the begin and end of each token of a text, in characters.

    Raises:
        ValueError: the tokenizer fails on the text.
    """
    found = tokenizer.encode(text, add_special_tokens=False).offsets
    return np.array(found, np.int64).reshape(-1, 2)


def find_fault(tokenizer: Tokenizer, probes: Sequence[str] = PROBES) -> str:
    """Return what is wrong with the positions that a tokenizer reports; "" if nothing is.

    For each probe, the tokens must cover all characters in order, and each prefix that ends with a
    word must have as many tokens on its own as it has within the text.
    """
    for text in probes:
        spans = offsets_of(tokenizer, text)
        if reason := _fault_in(spans, text):
            return reason
        ends = accumulate((len(part) + 1 for part in text.split(" ")), initial=-1)
        for end in (end for end in ends if 0 < end < len(text) and not text[end - 1].isspace()):
            alone = len(offsets_of(tokenizer, text[:end]))
            if abs(alone - int((spans[:, 1] <= end).sum())) > _SURPLUS:
                return f"{text[:end]!r} has {alone} tokens alone, and another number in a text"
    return ""


def _fault_in(spans: Ints, text: str) -> str:
    begins, ends = spans[:, 0], spans[:, 1]
    if (begins < 0).any() or (ends > len(text)).any() or (begins > ends).any():
        return "a token is outside of its text"
    if (np.diff(begins) < 0).any():
        return "the tokens are not in the order of the text"
    covered = np.zeros(len(text) + 1, np.int64)
    np.add.at(covered, begins, 1)
    np.add.at(covered, ends, -1)
    within = np.cumsum(covered)[:-1] > 0
    lost = [letter for letter, has in zip(text, within, strict=True) if not has]
    if any(not letter.isspace() for letter in lost):
        return f"no token has the {next(c for c in lost if not c.isspace())!r} of {text!r}"
    return ""

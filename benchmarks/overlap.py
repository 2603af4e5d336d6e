"""Is a training text also a judged text? Every text of every recipe, against every evaluation set.

    python benchmarks/overlap.py DATA taskembed/models/minilm/*/recipe.toml

Columns: examples used (trained on and held back); examples left out, since evaluation data judges
a text of theirs; of the used examples' texts, those that are judged (exactly, nearly: both must be
0); and those that are a document in a searched corpus, but relevant to none of its queries.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from taskembed.training._overlap import KnownTexts, Match, corpus_texts, judged_texts
from taskembed.training._splits import split_examples
from taskembed.training.recipe import read_recipe


def main() -> None:
    data = Path(sys.argv[1])
    recipes = {path.parent.name: read_recipe(path) for path in map(Path, sys.argv[2:])}
    patterns = sorted({pattern for recipe in recipes.values() for pattern in recipe.exclude})
    judged = KnownTexts(judged_texts(data, patterns))
    searched = KnownTexts(corpus_texts(data, patterns))
    print(f"{len(judged):,} texts are judged, {len(searched):,} documents are searched in\n")
    print("| recipe | file | used | left out | judged, exactly | nearly | only searched in |")
    print("|---|---|---|---|---|---|---|")
    for name, recipe in recipes.items():
        for split in split_examples(recipe, data):
            used = [*split.train, *split.dev]
            texts = [text for example in used for text in example.texts]
            found = Counter(judged.match(text) for text in texts)
            only = sum(searched.match(text) is not None for text in texts)
            print(
                f"| {name} | {split.file.path} | {len(used):,} | {split.excluded:,} | "
                f"{found[Match.EXACT]:,} | {found[Match.NEAR]:,} | {only:,} of {len(texts):,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

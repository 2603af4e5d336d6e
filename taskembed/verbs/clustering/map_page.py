"""Writes a map of clusters as one HTML page, which needs no network and no other file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from taskembed.extras import MAP, require_extra
from taskembed.verbs.clustering.cluster_map import OTHER, ClusterMap, Value, is_numeric

_TEMPLATE = Path(__file__).with_name("map.html")
CLUSTER = "cluster"  # the page's name for the initial colouring


def write_map(found: ClusterMap, stream: TextIO, *, title: str) -> None:
    """Write a map as an HTML page, with search, and colours by cluster or by field.

    Args:
        found: the map.
        stream: a text stream with the encoding UTF-8.
        title: the title of the page.

    Raises:
        MissingLibraryError: plotly is not installed.
    """
    library = require_extra("plotly.offline", MAP)
    parts = {
        "TITLE": html.escape(title),
        "PLOTLY": library.get_plotlyjs(),
        "DATA": _json(_data(found)),
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    # in one pass, so that inserted texts are not searched for marks
    stream.write(re.sub(f"@({'|'.join(parts)})@", lambda mark: parts[mark[1]], template))


def _data(found: ClusterMap) -> dict[str, object]:
    on_map = len(found.documents)
    count = f"{on_map:,} documents"
    if found.left_out:
        count += f", a random sample of {on_map + found.left_out:,}"
    return {
        "count": count,
        "id": [doc_id for doc_id, _ in found.documents],
        "text": [text for _, text in found.documents],
        "x": [round(x, 3) for x in found.points[:, 0].tolist()],
        "y": [round(y, 3) for y in found.points[:, 1].tolist()],
        "cluster": found.clusters,
        "names": list(found.names.items()),
        "fields": {_free(name): _coloured(values) for name, values in found.fields.items()},
    }


def _free(name: str) -> str:
    """Return a name for a field that differs from the name of the clusters."""
    return f"{name} (field)" if name == CLUSTER else name


def _coloured(values: Sequence[Value]) -> dict[str, object]:
    """Return the colour value of each point: a number, or the position of a name."""
    known = {value for value in values if value is not None}
    if is_numeric(known):
        return {"numbers": values}
    names = sorted({_name(value) for value in known} - {OTHER})
    numbers = {**{name: number for number, name in enumerate(names)}, OTHER: -2}
    at = [-1 if value is None else numbers[_name(value)] for value in values]
    labels = [*((number, name) for name, number in numbers.items()), (-1, "none")]
    return {"at": at, "names": [label for label in labels if label[0] in set(at)]}


def _name(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json(value: object) -> str:
    """Return JSON that is safe inside a script element: no text can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

"""What reading files must not do silently."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed.errors import BadInputError
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile
from tests import zstd

LINES = [b'{"id": "%d", "text": "x"}\n' % number for number in range(10)]


def read(path: Path, **options: int) -> list[Document]:
    # bad records are passed over, so that a file cut at any byte must be noticed as such
    bad = RejectFile(stop=False)
    return list(read_corpus(find_inputs([str(path)]), RecordFields(), on_bad=bad, **options))


def test_a_zstd_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.zst"
    whole = zstd.compress(b"".join(LINES))
    for end in range(1, len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(BadInputError):
            read(path)
    path.write_bytes(whole)
    assert len(read(path)) == 10


def test_a_cut_zstd_file_is_refused_with_the_last_record_that_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.zst"
    packer = zstd.ZstdCompressor()
    flushed = [packer.compress(line, mode=packer.FLUSH_BLOCK) for line in LINES]
    path.write_bytes(b"".join(flushed[:4]))
    with pytest.raises(BadInputError) as caught:
        read(path)
    assert caught.value.message == (
        f"{path}: it cannot be read after record 4: "
        "Compressed file ended before the end-of-stream marker was reached"
    )


def test_zstd_frames_follow_each_other_and_may_be_none(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.zst"
    path.write_bytes(b"".join(zstd.compress(line * 5_000) for line in LINES))
    assert len(read(path)) == 50_000
    path.write_bytes(b"")
    assert read(path) == []


@pytest.mark.parametrize(
    ("value", "unit"), [(1, "ns"), (10**18, "us")], ids=["a nanosecond", "the year 33658"]
)
def test_a_moment_that_cannot_be_held_is_bad_input(tmp_path: Path, value: int, unit: str) -> None:
    moments = pa.array([value], pa.timestamp(unit))
    pq.write_table(pa.table({"id": ["a"], "text": ["x"], "t": moments}), tmp_path / "c.parquet")
    with pytest.raises(BadInputError) as caught:
        read(tmp_path / "c.parquet")
    assert caught.value.message.startswith(
        f"{tmp_path / 'c.parquet'}: it cannot be read after record 0: "
    )


def test_a_limit_larger_than_any_number_of_the_machine_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,text\na,x\n")
    assert len(read(tmp_path / "c.csv", max_record_bytes=2**70)) == 1

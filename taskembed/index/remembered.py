"""The options about the input that an index stores, so that later runs need not repeat them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from taskembed.errors import UsageError


@dataclass(frozen=True, slots=True)
class Reading:
    """Options about the input; None for an option that was not given.

    Attributes:
        id_field: the field with the id.
        text_field: the field with the text.
        format: the format of the inputs, whatever their names are: "jsonl", "parquet", "csv",
            "tsv", "text", "code".
        on_duplicate: which of two documents with the same id is kept: "last", "first"; or "error".
        delimiter: the character between the cells of CSV and TSV.
        encoding: the encoding of CSV and TSV.
        columns: the names of the columns of CSV and TSV, "id,text", if the first row is data; "" if
            the first row has the names.
        folders: which files of a folder were read: "text", "code"; None for records.
        id_folders: where the files are whose paths are ids: see `verbs._indexing.id_folders`.
        label_field: the field with the labels, for `taskembed classify`.
    """

    id_field: str | None = None
    text_field: str | None = None
    format: str | None = None
    on_duplicate: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    columns: str | None = None
    folders: str | None = None
    id_folders: str | None = None
    label_field: str | None = None

    def over(self, remembered: Reading | None) -> Reading:
        """Return these options, completed with earlier ones."""
        return Reading(**{**(remembered or Reading()).to_json(), **self.to_json()})

    def to_json(self) -> dict[str, str]:
        """Return the given options as a JSON object."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: object) -> Reading:
        """Read the output of `to_json`; settings that a newer version added are left out.

        Raises:
            ValueError: `values` has another form.
        """
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise ValueError("the settings of its input have wrong values")
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


def require_same_ids(remembered: Reading | None, given: Reading) -> None:
    """Check that the ids of documents come from the same field as those of the index.

    Raises:
        UsageError: another field has the ids, so each document would be in the index twice.
    """
    if remembered is None or given.id_field == remembered.id_field:
        return
    previous = f"the field {remembered.id_field!r}" if remembered.id_field else "id, _id or doc_id"
    raise UsageError(
        f"--id-field {given.id_field}: the ids of this index come from {previous}, so every "
        "document would be added a second time",
        hint="leave --id-field out; or build the index again with --recreate; or build another "
        "one with --index OTHER",
    )

"""The options of `export` for a collection of a Milvus server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.vectors import OPTION
from taskembed.errors import UsageError

_FORM = "--to milvus URI --collection NAME"


class Server(Enum):
    """A kind of server that takes documents and vectors."""

    MILVUS = "milvus"


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """Where the collection is, and whether it may be replaced."""

    to: Annotated[
        Server | None,
        typer.Option(
            "--to",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write to a server of this kind instead of a file; MILVUS_TOKEN=USER:PASSWORD or "
            "=KEY gives access.",
        ),
    ] = None
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            rich_help_panel=opt.Panel.OUTPUT,
            help="The collection on the server, which is created if it does not exist.",
        ),
    ] = None
    recreate: Annotated[
        bool,
        typer.Option(
            "--recreate",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Replace the collection, whatever it contains.",
        ),
    ] = False

    def server(self, uri: str | None, *, has_output: bool) -> str:
        """Return the URI of the server; "" if a file is written.

        Args:
            uri: the argument of the command.
            has_output: whether a file is named.

        Raises:
            UsageError: neither or both are named, or a part is missing.
        """
        if self.to is None:
            if uri is not None or self.collection is not None or self.recreate:
                raise UsageError("a collection needs --to", hint=f"taskembed export {_FORM}")
            if not has_output:
                raise UsageError("no output is named", hint=f"{OPTION} FILE.parquet; or {_FORM}")
            return ""
        if has_output:
            raise UsageError(f"use either {OPTION} or --to")
        if uri is None or self.collection is None:
            missing = "the URI of the server" if uri is None else "--collection"
            raise UsageError(f"--to needs {missing}", hint=f"taskembed export {_FORM}")
        return uri

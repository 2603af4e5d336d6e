"""`taskembed publish`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.config import Config
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions
from taskembed.cli.printing.output import write_done
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

_DONE = "the index is published"


@with_groups
def publish_command(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="Where: s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, or a name from the "
            "configuration file.",
        ),
    ],
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    recreate: Annotated[
        bool,
        typer.Option(
            "--recreate",
            rich_help_panel=opt.Panel.INDEX,
            help="Replace the index that is published there, whatever it is.",
        ),
    ] = False,
    wait: opt.Wait = 0,
    *,
    out: LongOutputOptions,
) -> int:
    """Copy an index to an object store, where others search it.

    Only files that are not there yet are sent; readers see the old index until all are there. The
    environment says who may write: AWS_ACCESS_KEY_ID and so on. Needs the extra objects.

    Example:
        taskembed publish s3://our-bucket/notes-index --index notes-index
    """
    from taskembed.objects import address_in, is_address
    from taskembed.verbs.publish import publish_index

    if not is_address(address):
        named = Config((), os.environ).index_named(Path(address))
        address = address_in(named) or address
    with Stopper():
        done = publish_index(index_folder, address, recreate=recreate, wait_seconds=wait)
    if out.as_json:
        write_done(json_text(asdict(done)) + "\n", _DONE)
    elif not out.quiet:
        sent = (
            f"{counted(done.files_sent, 'file')} of {done.files:,} sent, {done.bytes_sent:,} bytes"
        )
        removed = f", {counted(done.files_removed, 'old file')} removed" * bool(done.files_removed)
        write_done(f"generation {done.generation} at {done.address}: {sent}{removed}\n", _DONE)
    return ExitCode.OK

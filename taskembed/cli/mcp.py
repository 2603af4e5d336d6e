"""`taskembed mcp`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from taskembed.cli._base.addresses import refuse_collection
from taskembed.cli._base.published import local_folder, name_in
from taskembed.cli.options import common as opt
from taskembed.cli.options.config import Config
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions
from taskembed.errors import ExitCode
from taskembed.extras import MCP, require_extra


@with_groups
def mcp_command(
    indexes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INDEX...]",
            help="Folders of indexes, or names from the configuration file.  [default: --index]",
        ),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    trust_remote_code: opt.TrustRemoteCode = False,
    api_base: opt.ApiBase = None,
    *,
    machine: MachineOptions,
    quiet: opt.Quiet = False,
) -> int:
    """Serve indexes to agents by the Model Context Protocol.

    An agent starts the server and communicates with it on stdin and stdout. The tools search,
    similar, classify, get and indexes are read-only. An index that is updated or replaced while the
    server runs is opened again. Needs the extra mcp.

    Example:
        taskembed mcp notes-index code-index
        taskembed mcp ~/notes-index --offline --quiet
    """
    settings = machine.settings(
        quiet=quiet, one_query=True, trust_remote_code=trust_remote_code, api_base=api_base
    )
    require_extra("mcp.server.mcpserver", MCP)
    from taskembed.secrets import redacted, secrets_of
    from taskembed.server.indexes import names_of
    from taskembed.server.serve import serve

    config = Config((), os.environ)
    given = {"cache": machine.cache, "offline": machine.offline, "quiet": quiet}
    values = indexes or [str(index_folder)]
    named = [(value, config.index_named(Path(value))) for value in values]
    for _, folder in named:
        refuse_collection("mcp", folder)
    # the index's name in the configuration file or in its address; otherwise its folder's name
    folders = [
        (value if folder != Path(value) else name_in(value), local_folder(folder, given))
        for value, folder in named
    ]
    hide = partial(redacted, secrets=secrets_of([], os.environ))
    serve(names_of(folders), settings, hide=hide)
    return ExitCode.OK

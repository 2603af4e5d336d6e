"""Write docs/cli.md from `--help`; a test runs it and compares.

python docs/generate_cli.py
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

# rich reads the width and typer its own when they are imported; no default is from here
os.environ.update(COLUMNS="88", TERMINAL_WIDTH="88")
for _name in [name for name in os.environ if name.startswith("TASKEMBED_")]:
    del os.environ[_name]

from taskembed.cli.main import main  # noqa: E402  # see above

COMMANDS = [
    *("", "index", "search", "similar", "dedup", "classify", "cluster", "get"),
    *("list", "count", "delete", "compact", "publish", "tune", "info", "verify", "mcp"),
    *("encode", "export", "import", "models", "explain"),
    *("evaluate", "ablate", "compare", "train", "distill"),
    *("cache", "cache list", "cache clear"),
]
PAGE = Path(__file__).with_name("cli.md")


def reference() -> str:
    """Return the text of the page."""
    parts = [
        "# Commands\n\nMade from `--help` by docs/generate_cli.py. "
        "[environment.md](environment.md) lists\n"
        "the environment variables that are defaults of options.\n"
    ]
    for command in COMMANDS:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(out):
            main([*command.split(), "--help"])
        out.seek(0)
        title = " ".join(["taskembed", command]).strip()
        text = "\n".join(line.rstrip() for line in out.read().strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

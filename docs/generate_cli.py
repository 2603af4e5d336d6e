"""Write docs/cli.md from `--help`; a test runs it and compares.

python docs/generate_cli.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = [
    *("", "index", "search", "delete", "info", "verify", "models", "explain"),
    *("evaluate", "ablate", "compare", "train", "distill"),
    *("cache", "cache list", "cache clear"),
]
PAGE = Path(__file__).with_name("cli.md")


def reference() -> str:
    """Return the text of the page."""
    parts = [
        "# Commands\n\nMade from `--help` by docs/generate_cli.py. Flags win over environment "
        "variables, which win over\ndefaults.\n"
    ]
    for command in COMMANDS:
        words = [*command.split(), "--help"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TASKEMBED_")}
        done = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "taskembed", *words],
            capture_output=True,
            text=True,
            check=True,
            env={**environment, "COLUMNS": "88", "TERMINAL_WIDTH": "88"},
        )
        title = " ".join(["taskembed", command]).strip()
        text = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

"""`python -m taskembed`."""

import sys

from taskembed.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

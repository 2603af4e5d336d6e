"""The version of taskembed, which is written to indexes, adapters' cards and requests."""

from __future__ import annotations

__version__ = "0.1.0"

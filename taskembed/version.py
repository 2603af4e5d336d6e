"""The version of taskembed, which stands in indexes, adapters' cards and requests."""

from __future__ import annotations

__version__ = "0.1.0"

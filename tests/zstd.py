"""The zstd library: in the standard library since Python 3.14, a dependency before."""

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor, compress, open  # noqa: A004  # as gzip.open
else:
    from backports.zstd import ZstdCompressor, compress, open  # noqa: A004

__all__ = ["ZstdCompressor", "compress", "open"]

"""Format 1, which versions before 0.2 wrote: read and searched, and rewritten by the next writer.

This package can go as a whole when nobody has such an index any more.
"""

"""Format 1, which versions before 0.2 wrote: read and searched, and rewritten by the next writer.

This package can be deleted as a whole when such indexes are no longer in use.
"""

"""The other end of `publish`: copies of published indexes in the user's cache."""

"""The files of an index: the lock, manifests, and how a generation is committed and opened."""

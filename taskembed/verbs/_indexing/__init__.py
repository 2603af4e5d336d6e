"""The steps of a run of `index` for each document: look up, cut, encode, commit."""

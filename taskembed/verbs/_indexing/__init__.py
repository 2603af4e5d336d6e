"""What a run of `index` does with each document: looks it up, cuts it, encodes it, commits it."""

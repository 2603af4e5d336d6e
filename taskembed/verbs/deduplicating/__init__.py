"""The parts of `dedup`: duplicates within an index, matches of new documents, sampled pairs."""

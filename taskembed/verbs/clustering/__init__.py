"""The parts of `cluster`: the clusters, their number and terms, a file of them, and a map."""

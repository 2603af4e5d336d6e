"""The computations of `cluster`: the number of clusters, their terms, and a map."""

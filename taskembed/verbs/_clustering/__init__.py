"""What `cluster` computes: the number of clusters, their terms, and a map."""

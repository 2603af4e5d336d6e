"""How the vectors of a segment are stored and searched: one module for each kind."""

"""From the best rows of all segments to ranked hits: by vectors, by words, or by both."""

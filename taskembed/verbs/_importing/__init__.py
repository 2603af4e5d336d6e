"""The parts of `importing`: read files of vectors, join their rows, determine their space."""

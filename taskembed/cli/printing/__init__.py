"""How results, messages and progress are printed: for people, or for programs."""

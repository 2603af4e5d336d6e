"""Vectors and documents on disk, in generations of immutable files.

Doors: `reader` (search and look up), `writer`, `segments`, `generations`, `commit`, `remembered`
(how the input was read), `kinds` (FAISS), `fs` (where tests inject faults).
"""

"""Vectors and documents on disk, in generations of immutable files.

Doors: `reader` (search and look up), `ranking` (hits, groups, modes), `filtering` (filters),
`update` (begin to write), `writer`, `outcomes`, `views`, `verify`, `documents`, `contents` (what a
manifest says), `storage` (how segments are stored), `remembered` (how the input was read), `disk`
(generations and commits; `disk.fs` is where tests inject faults), `kinds` (FAISS), `legacy` (format
1).
"""

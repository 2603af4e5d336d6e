"""Vectors and documents on disk, in generations of immutable files.

Doors: `reader` (search and look up), `hits`, `grouping`, `verify`, `update` (begin to write),
`writer`, `outcomes`, `segments`, `documents`, `contents` (what a manifest says), `storage` (how
segments are stored), `generations`, `commit`, `remembered` (how the input was read), `filters`,
`kinds` (FAISS), `legacy` (format 1), `fs` (where tests inject faults).
"""

"""Vectors and documents on disk, in generations of immutable files.

Public modules: `reader` (search and look up), `ranking` (hits, groups, modes), `filtering`
(filters), `update` (begin to write), `writer`, `outcomes`, `views`, `verify`, `documents`,
`contents` (the body of a manifest), `storage` (how segments are stored), `remembered` (how the
input was read), `disk` (generations and commits; tests inject faults in `disk.fs`), `kinds`
(FAISS), `legacy` (format 1).
"""

"""How good an encoder, an index or a run is, measured on data with judgements.

Doors: data, evaluate, labels, measured, metrics, ablate, chart, compare, remembering.
"""

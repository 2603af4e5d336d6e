"""How good an encoder, an index or a run is, measured on data with judgements.

Doors: data, evaluate, measured, metrics, ablate, chart, compare.
"""

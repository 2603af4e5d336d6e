"""Measures the quality of encoders, indexes and runs on data with judgements.

Public modules: data, evaluate, labels, measured, metrics, ablate, chart, compare, remembering.
"""

"""Trains LoRA adapters from a recipe and examples.

Public modules: recipe, job, trainer, distill.
"""

"""Texts are encoded by workers, on this machine or on those of a Ray cluster."""

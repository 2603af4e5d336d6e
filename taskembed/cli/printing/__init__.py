"""Prints results, messages and progress, for people or for programs."""

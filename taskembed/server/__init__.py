"""A Model Context Protocol server, whose tools let agents search indexes but not change them.

Public modules: `serve` (runs the server in a process) and `indexes` (opens and names the indexes).
"""

"""A Model Context Protocol server, whose tools let agents search indexes but not change them.

Doors: `serve` runs the server in a process, and `indexes` opens and names what is served.
"""

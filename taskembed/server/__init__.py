"""A Model Context Protocol server: agents search indexes by its tools, and can change nothing.

Doors: `serve` runs the server in a process, and `indexes` opens and names what is served.
"""

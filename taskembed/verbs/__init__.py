"""What one can do with an index; the same for the shell, for Python and for a server.

Doors: one a verb (`index`, `search`, `delete`, `plan`, `explain`, `describe`); `encoders`, which
chooses the encoder of an index; `options` and `defaults`; and `protocols`: what a verb needs of a
model.
"""

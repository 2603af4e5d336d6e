"""What one can do with an index; the same for the shell, for Python and for a server.

Doors: one a verb (`index`, `search`, `snippets`, `documents`, `delete`, `plan`, `explain`,
`describe`, `models`); `corpus`, which finds and reads files for an index; `encoders`, which
chooses its encoder; `counting`, an encoder that counts truncated texts; `options` and `defaults`;
and `protocols`: what a verb needs of a model.
"""

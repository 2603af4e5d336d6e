"""The process of a command: its stdin, and the signals that stop it."""

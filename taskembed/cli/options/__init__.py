"""The options of commands, their defaults, their help, and the messages for invalid ones."""

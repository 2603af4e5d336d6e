"""The options of commands, their defaults, their help, and what is said of wrong ones."""

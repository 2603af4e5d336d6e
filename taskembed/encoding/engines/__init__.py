"""What runs a model: one module an engine, imported only when it is used."""

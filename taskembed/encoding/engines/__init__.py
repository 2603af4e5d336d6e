"""The engines that run models: one module for each, imported only when it is used."""

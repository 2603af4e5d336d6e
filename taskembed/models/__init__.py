"""What is known of a model, and where its files are. Nothing is loaded here.

Doors: `catalogue` (models.toml), `resolve` (which prompts and adapters a task takes), `files`
(finding a model and its digest), `adapters`, `stock_views`, `metric`, `plausible`, `saved_json`.
"""

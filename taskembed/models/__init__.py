"""Facts about a model, and where its files are. Nothing is loaded here.

Doors: `catalogue` (models.toml), `prompts_file` (a user's own prompts), `resolve` (which prompts
and adapters a task takes), `files` (finding a model and its digest), `folder` (what a model's
folder holds), `lengths`, `sides`, `adapters`, `stock_views`, `metric`, `plausible`, `saved_json`.
"""

"""Facts about models, and the search for their files. No model is loaded here.

Public modules: `catalogue` (models.toml), `prompts_file` (a user's own prompts), `resolve` (the
prompts and adapters of a task), `files` (finds a model and its digest), `folder` (the contents of a
model's folder), `lengths`, `sides`, `adapters`, `stock_views`, `metric`, `plausible`, `saved_json`.
"""

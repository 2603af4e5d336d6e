"""What a task's prompts and adapters are worth, on data with judgements."""

"""Frozen values: prompts, jobs, trials, judgements. This room imports neither torch nor Hydra and reads no files."""

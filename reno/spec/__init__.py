"""The frozen values that everything else is about: prompts, jobs, trials, judgements. No torch, no Hydra, no files."""

"""The training of the embedded world's models. `scripts/train_testbed.py` runs the stages; nothing else imports them.

A stage is a module with `run(build_dir, **settings) -> numbers` and SMOKE, the settings of a few steps. Stages: vae,
generator, judge, clip, blip (what each trains, and `export`), then export, measure, cards.
"""

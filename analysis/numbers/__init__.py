"""Numbers from the frames.

measures.py       what is measured of a judged image, as shares in [0, 1]
stated_claims.py  the claims that are to be decided, read from YAML
slices.py         trials cut by generator, prompt set and judge; the order of metrics and methods
statistics.py     intervals, tests and effect sizes; the prompt is the unit
effects.py        a level, a change, a difference, each with what it was computed from
bindings.py       what became of each binding, and shares of bindings
tuning.py         each metric's own best settings, chosen on the dev prompts
"""

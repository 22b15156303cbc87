"""Numbers from the frames.

measures.py       what is measured of a judged image, as shares in [0, 1]
stated_claims.py  the claims that are to be decided, read from YAML
slices.py         trials cut by generator, prompt set and judge; the order of metrics and methods
design.py         which trials share a prompt, a noise, a binding; the variance of a mean over them
shares.py         score intervals of shares and of differences of shares
statistics.py     resampling intervals, the swap test, Holm's adjustment; the prompt is the unit
estimates.py      which interval and test a quantity has
verdicts.py       better, worse, equivalent, undecided; how many more prompts would decide
effects.py        a level, a change, a difference, each with what it was computed from
bindings.py       what became of each binding, and shares of bindings
agreement.py      how far two judges say the same
correlation.py    whether a larger gain of the metric comes with a larger gain in binding
variance.py       the variance of an outcome, split into prompt, noise and rest
published.py      published values, to put beside measured ones
tuning.py         each metric's own best settings, chosen on the dev prompts
"""

"""The analysis: what was measured, read from a results store, and the report made of it.

It answers which metric makes each attribute land on its object, in tables, statistics, named claims and figures. It
reads only the store, or a project of Weights & Biases; it never imports torch and never runs a model.

    python -m analysis results report      # RESULTS OUT: what `make report` runs

load.py        the store as tidy frames; what is missing, failed or damaged is counted
from_wandb.py  the same frames from a project of Weights & Biases
outcomes.py    what the judges and metrics say of each trial, before and after, in [0, 1] shares
statistics.py  intervals, tests and effect sizes; the prompt is the unit
tables/        the seven tables, and their CSV, LaTeX and Markdown
claims.py      the named hypotheses and their verdicts
figures/       the figures, as PDF and PNG
report/        the page, the PDF, and each prompt's pictures in words
readme.py      the answer in the README: a figure and the headline table
summary_run.py a study's end in Weights & Biases: tables, images, figures and verdicts in one run
"""

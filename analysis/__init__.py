"""The analysis: reads what was measured from a results store and makes the report of it.

The report says which metric makes each attribute land on its object: in tables, statistics, claims and figures. The
analysis reads only the store, or a project of Weights & Biases. It never imports torch and never runs a model.

    python -m analysis results=results out=report      # what `make report` runs

data/       the store, or a project of Weights & Biases, as tidy frames; what is missing, failed or damaged is counted
numbers/    what is measured of images, intervals and tests, effects, the tuned settings, the stated claims
tables/     the tables, and their CSV, LaTeX and Markdown
claims.py   the verdicts on the stated claims
figures/    the figures, as PDF and PNG
report/     the page, the PDF, each prompt's images in words, the README's answer, a study's run in W&B
text.py     numbers as texts, and texts escaped for LaTeX, Markdown and file names
marks.py    what commands write between two marks of a README

Each imports only from those above it, and from text.py and marks.py. Of reno they import reno.HOME, reno.spec,
reno.letters, reno.store, the words of reno.prompts and, for W&B, reno.tracking; the command in __main__.py imports
reno.config as well.
"""

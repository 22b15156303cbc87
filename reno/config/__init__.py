"""Turns what a user types into frozen, checked values. Only this room and reno/run.py use Hydra.

conf.py       the folders with choices: conf/, experiments/, and a user's own (`-cd FOLDER`)
search.py     where Hydra searches: conf/, each file parsed once, and experiments/
programs.py   the commands by name, and what messages call them
completion.py    tab completion of `reno`
page.py       the knobs of a command, read from its page in conf/, with their defaults and help
words.py      what a user types -> flags, folders and knobs
quoting.py    texts as Hydra reads them
overrides.py  refuses flags, knobs and sweeps that cannot be used, before Hydra composes
command.py    what all commands share: help, errors, exit status
script.py     the same for scripts and the bench, whose options argparse reads
compose.py    words -> plain values; the sentence for words that cannot be used
sections.py   reads nested values; refuses a key that nothing reads
checks.py     checks single values
prompt_sets.py   prompts from named sets and files
suites.py        benchmarks of conf/benchmarks: from a name to prompts and protocol
models.py     generators, metrics and judges, with their checkpoints
job.py        plain values -> JobSpec
combinations.py   the jobs of a command, without running them
workers.py    several workers of one job; launchers that would start none
sweep.py      a sweep's folder, and the statuses of its jobs in it
"""

"""From what a user types to frozen, checked values. Only this room and reno/run.py know Hydra.

conf.py       the folders with choices: conf/, and a user's own (`-cd FOLDER`)
page.py       the knobs of a command, read from its page in conf/, with their defaults and help
compose.py    words -> plain values; what to say where they cannot be used
sections.py   reading plain values so that no key stays unread
checks.py     single values
prompt_sets.py   prompts from named sets and files
job.py        plain values -> JobSpec
"""

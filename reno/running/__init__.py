"""How a job runs: its plan, the loaded models, the batches, and the runner that puts them together.

located.py     locates checkpoints and checks options
plan.py        lists trials, cuts them into batches, finds the missing ones
unloaded.py    what a run would refuse only with loaded models, found without them
long_prompts.py   prompts that are too long for a text encoder: refused, left out or cut
forecast.py    what a job would run, for a dry run
pool.py        loaded models, shared by the jobs of a process
sizing.py execution.py   batch_size=auto: the fastest batch that fits; checkpointing=auto and compile=auto
noise.py       the noises of a seed
batch.py drafts.py   one batch, from noise to scores and judgements; with a small decoder
progress.py    what a batch has so far
runner.py      runs a job from its plan to its outcome
sharing.py     the batches that other workers run
saving.py ending.py   a batch goes on after a kill; a signal ends the job
sending.py     sends a job's files to a store elsewhere
listeners.py   what the runner calls while a job runs: screen, tracker, log
recording.py provenance.py outcome.py   the records of a trial and of a job
judging.py reproducing.py   judge stored trials again; run a stored trial again
given.py       pictures made elsewhere, as trials of a store
fit/           a job's memory, predicted without its weights
checking/      whether checkpoints are read right
"""

"""How a job runs: its plan, the loaded models, the batches, and the runner that puts them together.

plan.py        checkpoints located, trials listed; cutting into batches; what is missing
pool.py        loaded models, shared by the jobs of a process
sizing.py      batch_size=auto: the fastest batch that fits
batch.py       one batch, from noise to scores and judgements
runner.py      the story of a job; listeners.py: who hears of it
recording.py provenance.py outcome.py   what is written down of a trial and a job
judging.py reproducing.py   judging stored trials again; running a stored trial again
fit/           a job's memory, predicted without its weights
"""

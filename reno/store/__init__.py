"""The results on disk: typed records, the files of a trial, and the folder that keeps them. No torch here.

results/trials/<id>/        one folder per trial, absent or whole
  trial.json                a TrialRecord: spec, labels, scores, judgements, timings, provenance, digests of the files
  trace.parquet             one row per iteration
  initial.png best.png
  frames.webp               every image of the optimisation, one animation
  noise.safetensors         initial and best noise
results/judgements/<judge>-<identity>/<id>.json   a JudgementRecord: a later judgement of a trial
results/damaged/            what was damaged and has been made again, as it was found
results/claims/             which worker runs which trial now
results/settled/            batch sizes that batch_size=auto has chosen for a job
results/running/            running batches that were saved (running/saving.py)
results/index/              what the report needs of many trials (analysis/data/index.py)
results/jobs/<time>/        what one command did: job.json (a JobRecord), job.log, contact_sheet.png

records.py   the records, typed
files.py     encodes and decodes the other files
stored.py    reads a trial, every byte compared with what was written
store.py     finds, writes and moves trials
claims.py    claims trials for a worker, so that no other runs them
heartbeat.py what renews a worker's claims
settled.py   what all workers on a store agree on
remote.py    objects of a store that is not on a disk: S3, Google Cloud Storage, the hub
copies.py    the copy that this machine keeps of such a store: what is fetched, what is sent
leases.py    the claims of such a store
overview.py  how far the jobs of a store are
merging.py   joins another store's trials, judgements and jobs
staging.py   what a process is still writing, and the clearing of what dead processes left
"""

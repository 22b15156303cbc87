"""A job's memory, predicted by running the job itself on tensors that hold nothing.

live_bytes.py   counts the bytes that are alive, operation by operation
rehearsal.py    where a job runs without weights: torch's meta device
prediction.py   the timeline of a batch of any size, and its peak
cards.py        which graphics cards that fits, and the margin to leave
"""

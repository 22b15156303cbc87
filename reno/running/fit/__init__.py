"""A job's memory, predicted by running the job itself on tensors without values.

live_bytes.py   counts the bytes of live tensors, operation by operation
rehearsal.py    runs a job without weights, on torch's meta device
prediction.py   the timeline of a batch of any size, and its peak
cards.py        the graphics cards that have enough memory, and the margin to leave free
"""

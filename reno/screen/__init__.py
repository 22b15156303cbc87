"""The commands' output in the terminal, a job's log and its contact sheet.

screen.py      a job: progress, table of results (a listener)
log.py         a job's log (a listener)
contact_sheet.py   a job's images before and after, as one picture
sweep.py sweep_sheet.py   the jobs of a sweep: table, and one picture
forecast.py    what a dry run foresees
judging.py fit.py checking.py status.py   reno.evaluate, reno.memory, reno.check, reno.status
words.py       numbers and durations for a terminal
quiet.py       silences the model libraries
"""

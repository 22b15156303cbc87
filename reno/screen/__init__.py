"""The commands' output in the terminal, a job's log and its contact sheet.

screen.py      a job: progress, table of results (a listener)
log.py         a job's log (a listener)
contact_sheet.py   a job's images before and after, as one picture
forecast.py    what a dry run foresees
judging.py fit.py checking.py   reno.evaluate, reno.memory, reno.check
words.py       numbers and durations for a terminal
quiet.py       silences the model libraries
"""

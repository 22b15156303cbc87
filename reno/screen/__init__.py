"""The commands' output in the terminal, a job's log and its contact sheet.

screen.py      a job: progress, table of results (a listener)
log.py         a job's log (a listener)
contact_sheet.py   a job's images before and after, as one picture
judging.py fit.py  reno.evaluate, reno.memory
words.py       numbers and texts for a terminal
quiet.py       silences the model libraries
"""

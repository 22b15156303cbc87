"""What a person sees of a command in the terminal, and a job's contact sheet.

screen.py      a job: progress, table of results (a listener)
contact_sheet.py   a job's images before and after, as one picture
judging.py fit.py  reno.evaluate, reno.memory
words.py       numbers and texts for a terminal
quiet.py       the model libraries kept silent
"""

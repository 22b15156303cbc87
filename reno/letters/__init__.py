"""Texts as people see them, whatever a prompt holds and wherever it is shown. Every writer of the project goes through
this room.

harmless.py   characters that drive a terminal or a spreadsheet, made visible
output.py     the terminal: any text, any encoding, a reader that goes away
lines.py      a text in lines, in any script
fonts.py      fonts that have a text's letters, for pictures and papers
amounts.py    bytes and seconds in words
console.py    tables and bars
counting.py   how far a long reading is
"""

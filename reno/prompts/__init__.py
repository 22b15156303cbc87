"""From a text or a file to prompts and the bindings that they ask for.

reader.py     noun phrases with attributes: "a small red car" is (small, car), (red, car)
words.py      the words of a text; words.yaml has those that are attributes, by kind, with their sources
formats.py    prompt files as people have them: lines, JSON, tables, GenEval's metadata, folders
geneval.py    GenEval's 553 prompts, made by the paper's rule
suites.py     the file of a benchmark's suite: the user's copy, or fetched once; its digest is checked
"""

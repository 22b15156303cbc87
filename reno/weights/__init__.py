"""Finds a checkpoint's folder and identity by its name, and loads and checks its modules.

checkpoints.py     a name -> a local folder and the identity of its weights
kinds.py           a kind -> its module; checks the kind's options
loading.py         a folder -> a frozen module
texts.py images.py its tokenizer, and its image processing as differentiable tensors
architectures.py   the modules of the published checkpoints, as data (published/)
folders.py vocabularies.py   a checkpoint's folder without its weights
"""

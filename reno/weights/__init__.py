"""From a checkpoint's name to a folder and an identity, and from the folder to loaded, checked modules.

checkpoints.py     a name -> a local folder and the identity of its weights
loading.py         a folder -> a frozen module
texts.py images.py its tokenizer, and its image processing as differentiable tensors
architectures.py   what the published checkpoints are made of, as data (published/)
folders.py vocabularies.py   a checkpoint's folder without its weights
"""

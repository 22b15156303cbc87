"""Finds a checkpoint's folder and identity by its name, and loads and checks its modules.

checkpoints.py     a name -> a local folder and the identity of its weights
reading.py identity.py   the files that a loader reads, and their digest
hub.py             the model hub: a checkpoint's commit and files, conversions of pickled weights
fetching.py snapshots.py   downloads, and the hub's cache
causes.py          why the hub did not give a checkpoint, and what to do
kinds.py           a kind -> its module; checks the kind's options
files.py           a checkpoint's files, looked at before they are read: a damaged one is told in one sentence
loading.py parts.py   a folder -> a frozen module, whole or refused; a pipeline's parts, wherever each is from
embeddings.py      prompts encoded once and kept, by text encoders that are then let go
texts.py sentencepiece.py   its tokenizer, also from SentencePiece's own file
images.py          its image processing as differentiable tensors
conversion.py pickled.py reward_models.py   rewards and a U-Net that are published as pickles, as folders
architectures.py   the modules of the published checkpoints, as data (published/)
folders.py vocabularies.py   a checkpoint's folder without its weights
"""

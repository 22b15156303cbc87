"""Whether checkpoints are read right: against values that others published, and against the libraries' own code.

published.yaml  the values, with source and tolerance
published.py    reads them
pictures.py     the pictures that they are of
measures.py     what our loaded models say of a picture, in the published values' units
libraries.py    our image against the pipeline's of diffusers, our pixel values against the processors' of transformers
pipelines.py    those pipelines, and how each is called
checking.py     the checks of one command, one result after the other
"""

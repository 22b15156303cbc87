"""The embedded world: coloured objects on 64 x 64 images, three small trained models and an exact oracle.

`world` holds the words and the scenes, `render` draws them, `judges` see them, `stages` train the models that ship in
`weights` (`python scripts/train_testbed.py`).
"""

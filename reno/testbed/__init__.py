"""The embedded world: coloured objects on 64 x 64 images, and the training of its models; not whole yet.

`world` holds the words and the scenes, `render` draws them, `layout` is the law by which noise decides a scene, and
`stages` train the VAE and the generator (`python scripts/train_testbed.py`).
"""

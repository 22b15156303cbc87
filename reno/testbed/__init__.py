"""The embedded world: coloured objects on 64 x 64 images, its judges, and the training of its models.

`world` has the words and the scenes, `render` draws them, and `layout` is the law by which noise decides a scene.
`judges` say what an image shows. `training` makes the models in `weights` (`python scripts/train_testbed.py`).
"""

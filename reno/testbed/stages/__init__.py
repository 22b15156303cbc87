"""The training stages of the embedded world's models, run by `scripts/train_testbed.py`; nothing else imports them."""

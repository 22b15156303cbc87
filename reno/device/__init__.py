"""Which device and dtype a job runs in, what is in the device's memory and when, and gradient checkpointing."""

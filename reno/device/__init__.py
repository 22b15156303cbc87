"""The choice of device and dtype, moving modules to and from the device, and gradient checkpointing."""

"""The choice of device and dtype; modules moved to and from the device; gradient checkpointing, norms in pieces, CUDA
graphs; one GPU a worker."""

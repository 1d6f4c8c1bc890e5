"""Ways to take one training step, by device: each computes what `trm.training.trainer` defines.

`kernel` decides on the compiled library, whose loss and gradients come `at_once`; on a GPU the host
runs `ahead` of the device, with examples from a `pool`, and whole steps may be `graphs`.
"""

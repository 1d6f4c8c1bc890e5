"""Checkpoints: a folder with safetensors for tensors and JSON for the rest, written atomically.

    weights.safetensors    live weights
    ema.safetensors        averaged weights, where EMA is on
    training.safetensors   optimiser moments, carry, generator states
    checkpoint.json        config, machine decisions, counters, versions; `schema_version`, and
                           checksums of all files

`head` is what the JSON says, `writing` makes a checkpoint, `reading` loads it into a model or a
trainer, and `sameness` refuses one of other data or of another config. Nothing here pickles or
unpickles.
"""

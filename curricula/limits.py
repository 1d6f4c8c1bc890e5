"""The largest numbers that sections take: beyond them nothing is trained, and machines break."""

MOST_STEPS = 10**12
"""Training steps."""
MOST_CYCLES = 1_000
"""H cycles, L cycles and layers, each; published models have at most a few dozen."""
MOST_UPDATES = 20_000
"""Updates of the state in one supervision step."""
MOST_SUPERVISION = 10_000
"""Supervision steps of an example."""
MOST_WIDTH = 65_536
"""Width, heads, prefix positions and factors of them, each."""
MOST_ROWS = 1_048_576
"""Rows of a batch."""
MOST_EXAMPLES = 100_000_000
"""Examples of a split."""
MOST_SEED = 2**62
"""Generators take it, tables store it, and further seeds that are counted on from it fit too."""
MOST_THREADS = 256
"""CPU threads of one training: what the largest machines have; far more end the process."""
MOST_FLOPS = 1e30
"""Training FLOPs of a run; 1e26 is more than any model has had."""
MOST_RATE = 1e12
"""Learning rates and weight decay: ablations that are to diverge have been run at 1e9."""

"""Several seeds of one config trained as one model with all their weights side by side.

`stacked` is what is called, `together` where seeds may stand at different steps; `stack` holds the
weights, `rows` what belongs to each seed's batch, and `obstacles` say why it cannot be done.
"""

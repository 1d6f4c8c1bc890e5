"""A supervision step on CPUs as one call of compiled code that works row by row in cache.

`source/` is C++ that the machine's own compiler turns into a library, `library` builds it once and
loads it, `step` is what a model calls. `trm.network.model` stays the definition of what is
computed.
"""

"""One training over several processes, each with a GPU or with CPU threads of its own.

`meeting` is where they find each other, `leading` what the first of them does and `following` what
the others do; `spawned` starts them on this machine. What they compute together is in `trm.ranks`.
"""

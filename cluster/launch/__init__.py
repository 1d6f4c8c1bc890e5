"""Launch files: a job on Slurm, Kubernetes, clouds, or a cluster that is already up.

A generator is a function from a `LaunchJob` and `Machines` to the text of one file. The job says
what runs; nothing here knows what that is.
"""

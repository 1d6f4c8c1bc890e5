"""Conformance suites for authors of samplers, schedulers and live logs; others: `trm.testing`."""

from search.testing.samplers import check as check_sampler
from search.testing.schedulers import check as check_scheduler
from search.testing.sinks import check_sink

__all__ = ["check_sampler", "check_scheduler", "check_sink"]

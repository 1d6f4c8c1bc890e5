"""Texts of a run without the machines that it ran on: a page is for others."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from search.ledger.trial import Trial

ADDRESS, ID = "[address]", "[id]"
_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)(?::\d{1,5}\b)?")
_V4_NAME = re.compile(r"(?<![\w-])ip-\d{1,3}(?:-\d{1,3}){3}(?:\.[a-z][\w-]*)*", re.IGNORECASE)
_V6 = re.compile(r"(?<![\w:.])[\da-fA-F:]*:[\da-fA-F:]*:[\da-fA-F:.]*[\da-fA-F](?:%\w+)?(?![\w:])")
_HEX = re.compile(r"(?<![\da-zA-Z])(?=\d*[a-f])[\da-f]{24,}(?![\da-zA-Z])")
"""Ray's ids of actors, workers, nodes, placement groups and tasks have 32 to 56 digits."""
_PATH = re.compile(r"(?m)(:[ ]|- )[\"']?(?:/|[A-Za-z]:\\\\)(?:[^\n\"'/]*/)*([^\n\"'/]+)[\"']?$")
_UUID = re.compile(r"(?<![\w-])[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?![\w-])")


def anonymous(text: str) -> str:
    """Text without IP addresses and without Ray's ids of nodes, workers and the like.

    >>> anonymous("node 10.0.0.7:6379 died, ray 2.60.0")
    'node [address] died, ray 2.60.0'
    """
    text = _V6.sub(_unless_invalid, text)
    text = _V4.sub(_unless_invalid, text)
    text = _V4_NAME.sub(ADDRESS, text)
    return _HEX.sub(ID, _UUID.sub(ID, text))


def beside(text: str) -> str:
    """A config's text whose data files stand beside it: others have other folders.

    >>> beside("task:\\n  file: /home/ann/data/train.csv\\n  name: pairs")
    'task:\\n  file: train.csv\\n  name: pairs'
    """
    return _PATH.sub(r"\1\2", text)


def reason_of(trial: Trial) -> str:
    """Why a trial failed, as a page may say it; empty if no reason is known."""
    return anonymous(trial.reason)


def _unless_invalid(match: re.Match[str]) -> str:
    """An address's place holder; what only looks like one, as a time of day does, stays."""
    found = match.group()
    try:
        if found.count(":") > 1:
            IPv6Address(found)
        else:
            IPv4Address(found.partition(":")[0])
    except ValueError:
        return found
    return ADDRESS

"""Written arithmetic on rows of digits, the least digit first, for many rows at once.

>>> a, b = np.array([[5, 9, 0]]), np.array([[7, 0, 0]])
>>> [part.tolist() for part in added(a, b, 10)]
[[[2, 0, 1]], [[0, 1, 1]]]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Digits = NDArray[np.int64]


def added(a: Digits, b: Digits, base: int) -> tuple[Digits, Digits]:
    """The sum of numbers `[n, columns]`, and what is carried into each column.

    What is carried out of the last column is lost.
    """
    total, carried = np.zeros_like(a), np.zeros_like(a)
    carry = np.zeros(len(a), dtype=np.int64)
    for column in range(a.shape[1]):
        carried[:, column] = carry
        here = a[:, column] + b[:, column] + carry
        total[:, column], carry = here % base, here // base
    return total, carried


def partial_products(a: Digits, b: Digits, base: int) -> Digits:
    """`a` times each digit of `b`, moved to where it is added, `[n, columns, columns]`."""
    count, columns = a.shape
    found = np.zeros((count, columns, columns), dtype=np.int64)
    for digit in range(columns):
        carry = np.zeros(count, dtype=np.int64)
        for column in range(digit, columns):
            here = a[:, column - digit] * b[:, digit] + carry
            found[:, digit, column], carry = here % base, here // base
    return found


def multiplied(a: Digits, b: Digits, base: int) -> Digits:
    """The product of numbers `[n, columns]`, as far as the columns reach."""
    total = np.zeros_like(a)
    for part in partial_products(a, b, base).transpose(1, 0, 2):
        total = added(total, part, base)[0]
    return total

"""Lists of coordinates and numbers that are lent to PyBullet, because it never gives its references to them back.

createVisualShape raises the reference counts of every row of `vertices` and `normals` and of every number of `indices`
and never lowers them, so that fresh ones stay in memory for ever, some hundred kilobytes a sphere. These are kept
anyway and written anew for each call: memory is bounded by the largest mesh.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Rows = list[list[float]]

_pools: list[Rows] = []
_numbers: list[int] = []
# Entered again where one call lends both.
_lock = threading.RLock()


@contextmanager
def lent_rows(*arrays: NDArray[np.float64]) -> Iterator[list[Rows]]:
    """Lists of rows with the values of (n, k) arrays, for one call that copies them.

    No other thread gets any until they are back.
    """
    with _lock:
        while len(_pools) < len(arrays):
            _pools.append([])
        result = []
        for pool, array in zip(_pools, arrays, strict=False):
            values = array.tolist()
            pool += [[] for _ in range(len(values) - len(pool))]
            for row, value in zip(pool, values, strict=False):
                row[:] = value
            result.append(pool[: len(values)])
        yield result


def lent_numbers(array: NDArray[np.int64]) -> list[int]:
    """The values of an array of whole numbers, 0 and more, each number the same object in every list."""
    with _lock:
        _numbers.extend(range(len(_numbers), int(array.max()) + 1))
        return [_numbers[i] for i in array.ravel().tolist()]

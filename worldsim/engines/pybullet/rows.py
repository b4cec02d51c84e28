"""Lists of coordinates and numbers that are lent to PyBullet, because it never gives its references to them back.

createVisualShape raises the reference counts of the lists `vertices`, `normals` and `indices`, of every row and of
every number in them, and never lowers them, so that fresh ones stay in memory for ever, some hundred kilobytes a
sphere. These are kept anyway and written anew for each call: memory is bounded by the largest mesh.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Rows = list[list[float]]

# All rows that there are, and the list that is lent, of as many of them as a mesh has, for each array of a call.
_pools: list[Rows] = []
_lent: list[Rows] = []
_numbers: list[int] = []
_indices: list[int] = []
_lock = threading.Lock()


@contextmanager
def lent_mesh(faces: NDArray[np.int64], *arrays: NDArray[np.float64]) -> Iterator[tuple[list[int], list[Rows]]]:
    """The values of whole numbers in one list, and of (n, k) arrays in lists of rows, for one call that copies them.

    No other thread gets any until they are back.
    """
    with _lock:
        _numbers.extend(range(len(_numbers), int(faces.max()) + 1))
        _indices[:] = [_numbers[i] for i in faces.ravel().tolist()]
        while len(_pools) < len(arrays):
            _pools.append([])
            _lent.append([])
        for pool, lent, array in zip(_pools, _lent, arrays, strict=False):
            values = array.tolist()
            pool += [[] for _ in range(len(values) - len(pool))]
            for row, value in zip(pool, values, strict=False):
                row[:] = value
            lent[:] = pool[: len(values)]
        yield _indices, _lent[: len(arrays)]

"""Data on disk that cannot be trusted, or not be written: one error, said with file and remedy."""

from __future__ import annotations


class DataError(ValueError):
    """Data on disk that is damaged, missing, too new or cannot be written; the message names file and remedy."""

    def __init__(self, message: str) -> None:
        # A DataLoader raises a worker's error anew with the worker's traceback for a message; the last line says it.
        if message.startswith("Caught DataError in DataLoader worker"):
            message = message.strip().splitlines()[-1].partition(": ")[2]
        super().__init__(message)

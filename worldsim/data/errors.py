"""The one error of this room: data on disk that cannot be trusted, said with file and remedy."""

from __future__ import annotations


class DataError(ValueError):
    """Data on disk that is damaged, missing, too new or cannot be written; the message names file and remedy."""


class GenerationError(RuntimeError):
    """Generation stopped: one line that names family, seed and reason, or how a worker died."""

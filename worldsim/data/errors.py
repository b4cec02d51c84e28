"""Why a data set was not made."""

from __future__ import annotations


class GenerationError(ValueError):
    """Generation stopped: one line that names family, seed and reason, or how a worker died."""

"""States to pixels and back: soft rasteriser, moments, readouts, tracker."""

from worldsim.vision._refine import Refined, refine
from worldsim.vision.moments import (
    Harmonic,
    Moments,
    harmonic,
    mask_moments,
    pixels_per_metre,
    planar_position,
    project,
    sphere_position,
    unproject,
)
from worldsim.vision.raster import Raster, View, rasterise

__all__ = [
    "Harmonic",
    "Moments",
    "Raster",
    "Refined",
    "View",
    "harmonic",
    "mask_moments",
    "pixels_per_metre",
    "planar_position",
    "project",
    "rasterise",
    "refine",
    "sphere_position",
    "unproject",
]

"""States to pixels and back: soft rasteriser, moments, readouts, tracker."""

from worldsim.vision.raster import Raster, View, rasterise

__all__ = ["Raster", "View", "rasterise"]

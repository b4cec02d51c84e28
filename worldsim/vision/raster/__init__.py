"""Soft rasteriser of primitives: states to colour, visibility, masks, depth and motion, with gradients."""

from worldsim.vision.raster._rasterise import CHANNELS, Raster, rasterise
from worldsim.vision.raster.view import View

__all__ = ["CHANNELS", "Raster", "View", "rasterise"]

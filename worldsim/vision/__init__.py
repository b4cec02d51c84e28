"""States to pixels and back: soft rasteriser, moments, readouts, tracker."""

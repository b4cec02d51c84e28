"""The lights of a shaded scene: an even glow, a lamp from above the front and a sun from behind the viewer's left.

Together a lit face shows about its own colour. Lamp and sun are far away and stay where they are, whatever the camera
does. MuJoCo draws with them, and so does the rasteriser.
"""

AMBIENT, LAMP, SUN = 0.38, 0.32, 0.45
# The ways that light takes, world frame; the engine and the rasteriser bring them to unit length.
LAMP_DIRECTION = (0.0, 1.0, -1.0)
SUN_DIRECTION = (0.26, 0.5, -0.82)

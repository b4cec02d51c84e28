"""Rendering contexts that are kept: pictures do not hang on what was drawn before, and their number is bounded."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from shapely import Point
from shapely import Polygon as Outline

from worldsim.engines.mujoco import MujocoSimulator, screens
from worldsim.physics.trajectory import Trajectory
from worldsim.scene import Body, Box, Camera, Plane, Polygon, Scene, Sphere, State, planar_camera

SIM = MujocoSimulator()
CAMERA = Camera(position=(1, -4, 2), target=(0, 0, 0.5), width=48, height=32)


def draw(scene, preset="fast"):
    trajectory = Trajectory.start_of([scene]).map(lambda t: t[0])
    return SIM.render(scene, trajectory, preset=preset)


def solid(*planes, balls=1, background=(1.0, 1.0, 1.0)):
    """Planes of these half sizes and some balls."""
    bodies = [
        Body(f"plane{i}", Plane(size), State((0, 0, -0.2 * i)), static=True, colour=(0.3, 0.5, 0.2))
        for i, size in enumerate(planes)
    ]
    bodies += [Body(f"ball{i}", Sphere(0.2), State((0.5 * i, 0, 0.7)), colour=(0.8, 0.2, 0.1)) for i in range(balls)]
    return Scene(bodies=tuple(bodies), camera=CAMERA, background=background, duration=0.1)


def centred(vertices):
    centre = Outline(vertices).centroid
    return tuple((x - centre.x, z - centre.y) for x, z in vertices)


def flat(*outlines, background=(1.0, 1.0, 1.0)):
    bodies = [Body(f"p{i}", Polygon(v), State((3.0 + 4 * i, 0, 5))) for i, v in enumerate(outlines)]
    return Scene(bodies=tuple(bodies), camera=planar_camera(10.0, 64), planar=True, background=background, duration=0.1)


KITE = centred(((-1.5, 0), (0, -0.5), (1.5, 0), (0, 2)))
SLAB = centred(((-1, -1.2), (1, -1.2), (1, 1.2), (-1, 1.2)))
CUT = centred(((-1.6, -1), (1.2, -1.3), (0.1, 1.5)))
SCENES = {
    "no plane": solid(),
    "a floor": solid(5.0),
    "a smaller floor": solid(1.5),
    "two planes": solid(3.0, 6.0),
    "two planes, other order": solid(6.0, 3.0),
    "another background": solid(5.0, background=(0.2, 0.4, 0.9)),
    "more bodies": solid(5.0, balls=3),
    "two polygons": flat(KITE, SLAB),
    "two other polygons": flat(SLAB, CUT, background=(0.9, 0.8, 0.3)),
    "a polygon": flat(CUT),
}


@pytest.mark.parametrize("preset", ["fast", "standard"])
def test_a_picture_does_not_hang_on_what_was_drawn_before(preset):
    alone = {}
    for name, scene in SCENES.items():
        screens.close_screens()
        alone[name] = draw(scene, preset)
    order = [*SCENES, *reversed(SCENES), *list(SCENES)[::3], *list(SCENES)[1::3]]
    for name in order:
        frames = draw(SCENES[name], preset)
        for part in ("ids", "depth", "video"):
            assert np.array_equal(getattr(frames, part), getattr(alone[name], part)), (name, part)


def test_polygons_are_drawn_in_their_own_outlines_one_scene_after_another():
    for outlines in ((KITE, SLAB), (SLAB, CUT), (CUT, KITE)):
        ids = draw(flat(*outlines)).ids[0]
        for i, vertices in enumerate(outlines):
            shape = Outline([(x + 3 + 4 * i, z + 5) for x, z in vertices])
            for v, u in np.ndindex(64, 64):
                centre = Point((u + 0.5) * 10 / 64, 10 - (v + 0.5) * 10 / 64)
                if shape.buffer(-0.1).contains(centre):
                    assert ids[v, u] == i + 1
                elif not shape.buffer(0.1).contains(centre):
                    assert ids[v, u] != i + 1


def test_backgrounds_and_sizes_without_end_keep_a_bounded_number_of_screens():
    for i in range(3 * screens.KEPT):
        colour = (i / 20, 0.5, 0.5)
        frames = draw(solid(2.0 + i, background=colour))
        sky = frames.video[0][frames.ids[0] == 0]
        assert np.abs(sky / 255 - colour).max() < 0.01
        assert screens.kept() <= screens.KEPT


@pytest.mark.parametrize("preset", ["standard", "quality"])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_lit_floors_have_no_speckles(preset, scale):
    """Away from the bodies and their shadows, shadows change no pixel of a floor or of a large box's top."""
    for ground in (
        Body("floor", Plane(5.0), State((0, 0, 0)), static=True),
        Body("floor", Box((5, 5, 0.2)), State((0, 0, -0.2)), static=True),
    ):
        ball = Body("ball", Sphere(0.2 * scale), State((0, 0, 0.2 * scale)))
        camera = Camera(position=(1, -4, 2), target=(0, 0, 0.5), width=96, height=96)
        scene = Scene(bodies=(ground, ball), camera=camera, duration=0.1)
        fast, shaded = draw(scene), draw(scene, preset)
        darker = fast.video[0].astype(int).sum(-1) - shaded.video[0].astype(int).sum(-1)
        # Antialiasing mixes colours along outlines, whatever the shadows.
        inside = binary_erosion(fast.ids[0] == 1, border_value=1)
        v, u = np.nonzero(inside & (darker > 30))
        assert len(v) > 8
        # Points of the floor: within reach of the ball's shadow, which the light of elevation 55 degrees throws.
        flat_rays = np.stack([(u + 0.5 - 48) / camera.focal, (v + 0.5 - 48) / camera.focal, np.ones(len(u))], -1)
        points = flat_rays * fast.depth[0][v, u][:, None] @ camera.rotation + np.array(camera.position)
        assert (np.hypot(points[:, 0], points[:, 1]) < 0.2 * scale * 4).all()

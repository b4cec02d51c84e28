"""The soft rasteriser against closed forms, ray casting and finite differences."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from worldsim.physics import Bodies, Trajectory
from worldsim.scene import Body, Box, Camera, Capsule, Plane, Polygon, Ring, Scene, Sphere, State, planar_camera
from worldsim.vision import View, rasterise

PERSPECTIVE = Camera(position=(0.3, -4.0, 1.5), target=(0.1, 0, 0.4), width=64, height=48, fov=50)
ORTHOGRAPHIC = Camera(
    kind="orthographic", position=(1.0, -4.0, 2.5), target=(0.1, 0, 0.4), width=64, height=48, extent=3.0
)
SHAPES = {
    "sphere": Sphere(0.5),
    "box": Box((0.5, 0.3, 0.2)),
    "capsule": Capsule(0.2, 0.45),
    "ring": Ring(0.5, 0.12),
    "polygon": Polygon(((-0.6, -0.3), (0.6, -0.3), (0.0, 0.6)), 0.25),
}


def quaternion(rng):
    q = rng.normal(size=4)
    return tuple(q / np.linalg.norm(q))


def world(shapes, states, camera, dtype=torch.float64, **kwargs):
    """Bodies and a one-frame trajectory; built by hand, since polygons may not leave the plane in a Scene."""
    stand_in = [Sphere(0.1) if isinstance(s, Polygon) else s for s in shapes]
    bodies = tuple(
        Body(f"b{i}", s, State(*state), colour=(0.1 + 0.1 * i, 0.5, 0.9 - 0.1 * i), static=isinstance(s, Plane))
        for i, (s, state) in enumerate(zip(stand_in, states, strict=True))
    )
    scene = Scene(bodies=bodies, camera=camera, **kwargs)
    made = Bodies.from_scenes([scene], dtype)
    size, vertices, kinds = made.size.clone(), made.vertices.clone(), list(made.kinds)
    for i, shape in enumerate(shapes):
        if isinstance(shape, Polygon):
            kinds[i] = "polygon"
            size[:, i] = torch.tensor([shape.half_depth, 0, 0])
            padded = list(shape.vertices) + [shape.vertices[-1]] * (12 - len(shape.vertices))
            vertices[:, i] = torch.tensor(padded)
    made = dataclasses.replace(made, kinds=tuple(kinds), size=size, vertices=vertices)
    return made, Trajectory.start_of([scene], dtype)


def inside(shape, points):
    """Whether points (..., 3) of the body frame lie inside of a shape."""
    x, y, z = np.moveaxis(points, -1, 0)
    if isinstance(shape, Sphere):
        return x * x + y * y + z * z < shape.radius**2
    if isinstance(shape, Box):
        a, b, c = shape.half_extents
        return (abs(x) < a) & (abs(y) < b) & (abs(z) < c)
    if isinstance(shape, Capsule):
        along = np.clip(z, -shape.half_length, shape.half_length)
        return x * x + y * y + (z - along) ** 2 < shape.radius**2
    if isinstance(shape, Ring):
        return (np.hypot(x, y) - shape.major_radius) ** 2 + z * z < shape.minor_radius**2
    keep = abs(y) < shape.half_depth
    for (x0, z0), (x1, z1) in zip(shape.vertices, shape.vertices[1:] + shape.vertices[:1], strict=True):
        keep &= (x1 - x0) * (z - z0) - (z1 - z0) * (x - x0) > 0
    return keep


def cast(shape, state, camera, samples=3000):
    """Which pixels see the shape and how deep: rays marched densely through the body's own inside test."""
    position, q = np.array(state[0]), np.array(state[1])
    w, x, y, z = q
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    px, py = (u - camera.width / 2) / camera.focal, (v - camera.height / 2) / camera.focal
    depth = np.linspace(2.0, 6.5, samples)
    mask, first = np.zeros(u.shape, bool), np.full(u.shape, np.inf)
    for row in range(camera.height):
        x, y = px[row][:, None], py[row][:, None]
        if camera.kind == "orthographic":
            local = np.stack(np.broadcast_arrays(x, y, depth), -1)
        else:
            local = np.stack([x * depth, y * depth, np.broadcast_to(depth, (len(x), samples))], -1)
        points = (local @ camera.rotation + np.array(camera.position) - position) @ turn
        hit = inside(shape, points)
        mask[row] = hit.any(-1)
        first[row] = np.where(mask[row], depth[hit.argmax(-1)], np.inf)
    return mask, first


@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC], ids=["perspective", "orthographic"])
@pytest.mark.parametrize("kind", SHAPES)
def test_outline_and_depth_match_rays(kind, camera):
    rng = np.random.default_rng(list(SHAPES).index(kind))
    for _ in range(2):
        state = (tuple(rng.uniform(-0.4, 0.4, 3) + np.array([0, 0, 0.4])), quaternion(rng))
        bodies, trajectory = world([SHAPES[kind]], [state], camera)
        raster = rasterise(trajectory, bodies, camera, tau_px=0.01)
        mask, first = cast(SHAPES[kind], state, camera)
        ours = raster.masks[0, 0, 0].numpy() > 0.5
        union = (ours | mask).sum()
        assert (ours & mask).sum() / union > 0.99, "hard masks agree to 1 % (grazing rays between samples are missed)"
        behind = raster.ids[0, 0, 0]
        depth = ((raster.depth[0, 0] - behind * camera.far) / (1 - behind)).numpy()
        if kind == "polygon":
            continue  # depth is that of the cap, by contract
        both = ours & mask
        error = np.abs(depth - first)[both]
        # Rings take the tube as a cylinder: good where the view is not grazing.
        assert np.quantile(error, 0.6 if kind == "ring" else 0.93) < (0.02 if kind == "ring" else 0.006)


def test_sphere_ellipse_is_exact():
    """Perspective outline of an off-axis ball: zero crossing of the distance on the conic (c.d)^2 = K |d|^2."""
    camera = Camera(position=(0, -3, 0), target=(0, 0, 0), fov=80, width=96, height=96)
    bodies, trajectory = world([Sphere(0.7)], [((1.4, 0, 0.8),)], camera)
    view = View.from_cameras(camera, torch.float64)
    soft = rasterise(trajectory, bodies, camera, tau_px=0.5).masks[0, 0, 0]
    distance = -0.5 * torch.logit(soft.clamp(1e-9, 1 - 1e-9))
    d = view.plane_points()[0].T
    c = view.to_camera(trajectory.position[0])[0, 0]
    k = c @ c - 0.49
    conic = ((d @ c) ** 2 - k * d.square().sum(-1)).reshape(96, 96)
    near = distance.abs() < 4
    assert torch.equal((distance < 0)[near], (conic > 0)[near])
    # Exact distance by dense samples of the ellipse.
    angle = torch.linspace(0, 2 * math.pi, 200001, dtype=torch.float64)
    axis = c / c.norm()
    e1 = torch.linalg.cross(axis, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    e1 = e1 / e1.norm()
    e2 = torch.linalg.cross(axis, e1)
    half = math.asin(0.7 / float(c.norm()))
    rim = math.cos(half) * axis + math.sin(half) * (angle.cos()[:, None] * e1 + angle.sin()[:, None] * e2)
    rim = rim[:, :2] / rim[:, 2:] * view.focal
    edge = torch.nonzero(distance.abs() < 1)
    pixels = edge.flip(-1) + 0.5 - 48.0
    exact = torch.cdist(pixels.double(), rim[::20]).amin(-1)
    assert (distance[edge[:, 0], edge[:, 1]].abs() - exact).abs().max() < 0.03


def mixed(camera, seed, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    shapes = [*SHAPES.values(), Plane(6.0)]
    states = [(tuple(rng.uniform(-0.5, 0.5, 3) + np.array([0, 0, 0.5])), quaternion(rng)) for _ in SHAPES]
    states.append(((0.0, 0.0, -0.2), (1.0, 0.0, 0.0, 0.0)))
    return world(shapes, states, camera, dtype)


def small(camera):
    return dataclasses.replace(camera, width=8, height=8)


@pytest.mark.parametrize("camera", [PERSPECTIVE, ORTHOGRAPHIC], ids=["perspective", "orthographic"])
@pytest.mark.parametrize("kind", [*SHAPES, "plane"])
def test_gradcheck(kind, camera):
    index = [*SHAPES, "plane"].index(kind)
    bodies, trajectory = mixed(small(camera), 5)
    keep = [index]
    bodies = bodies.map(lambda t: t[:, keep])
    bodies = dataclasses.replace(bodies, kinds=(kind,), static=(False,), groups=(0,))
    trajectory = trajectory.map(lambda t: t[:, :, keep])

    def draw(position, orientation, size, colour, linear, angular):
        orientation = orientation / orientation.norm(dim=-1, keepdim=True)
        moved = dataclasses.replace(
            trajectory, position=position, orientation=orientation, linear_velocity=linear, angular_velocity=angular
        )
        shaped = dataclasses.replace(bodies, size=size, colour=colour)
        raster = rasterise(moved, shaped, small(camera), tau_px=1.5, shading="shaded")
        return raster.ids, raster.colour, raster.depth / 100, raster.motion

    torch.manual_seed(0)
    inputs = (
        trajectory.position,
        trajectory.orientation,
        bodies.size,
        bodies.colour,
        torch.randn_like(trajectory.position),
        torch.randn_like(trajectory.position),
    )
    inputs = tuple(t.clone().requires_grad_() for t in inputs)
    assert torch.autograd.gradcheck(draw, inputs, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_planar_half_space_and_order():
    """A floor seen edge on fills the half-space under it and lies behind what sinks into it."""
    scene = Scene(
        bodies=(
            Body("floor", Plane(), State((0, 0, 2.0)), static=True),
            Body("ball", Sphere(1.0), State((5.0, 0, 2.5))),
        ),
        camera=planar_camera(10, 40),
        planar=True,
    )
    raster = rasterise(Trajectory.start_of([scene]), Bodies.from_scenes([scene]), scene.camera)
    ids = raster.ids[0, 0].argmax(0)
    assert (ids[33:, :5] == 1).all()
    assert (ids[:31, :5] == 0).all()
    assert ids[32, 20] == 2
    assert torch.allclose(raster.ids.sum(2), torch.ones(()), atol=1e-5)


def test_motion_is_the_flow_of_pixels():
    """Motion times one frame carries the soft centroid of a sphere where the sphere goes, in both views."""
    for camera in (PERSPECTIVE, ORTHOGRAPHIC):
        bodies, start = world([Sphere(0.4)], [((0.1, 0.3, 0.4),)], camera)
        velocity = torch.tensor([0.3, 0.4, -0.2], dtype=torch.float64)
        start = dataclasses.replace(start, linear_velocity=start.linear_velocity + velocity, dt=1e-3)
        raster = rasterise(start, bodies, camera, tau_px=0.05)
        here, _ = camera.project(np.array([[0.1, 0.3, 0.4]]))
        there, _ = camera.project(np.array([[0.1, 0.3, 0.4]]) + 1e-3 * velocity.numpy())
        u, v = here[0].astype(int)
        # The surface is nearer than the centre, so perspective flow there is larger by the ratio of depths.
        depth = raster.depth[0, 0, v, u]
        _, centre = camera.project(np.array([[0.1, 0.3, 0.4]]))
        ratio = 1.0 if camera.kind == "orthographic" else centre[0] / float(depth)
        expected = (there - here)[0] * ratio
        assert np.allclose(raster.motion[0, 0, :, v, u].numpy(), expected, atol=0.03 * np.abs(expected).max())


def test_spin_flow_turns_about_the_centre():
    camera = planar_camera(4, 32)
    scene = Scene(bodies=(Body("ball", Sphere(1.5), State((2, 0, 2), angular_velocity=(0, 2.0, 0))),), camera=camera)
    start = Trajectory.start_of([scene], torch.float64)
    raster = rasterise(start, Bodies.from_scenes([scene], torch.float64), camera, tau_px=0.05)
    # A positive turn about +y is clockwise in the picture: right of the centre pixels move down.
    flow = raster.motion[0, 0]
    v, u = 16, 24
    expected = 2.0 * start.dt * (u + 0.5 - 16)
    assert torch.isclose(flow[1, v, u], torch.tensor(expected, dtype=torch.float64), rtol=1e-3)


def test_finite_gradients_in_random_scenes():
    for camera in (small(PERSPECTIVE), small(ORTHOGRAPHIC)):
        for seed in range(12):
            bodies, trajectory = mixed(camera, seed, torch.float32)
            offset = torch.randn(1, 1, 6, 3, generator=torch.Generator().manual_seed(seed)) * 3
            position = (trajectory.position + offset).requires_grad_()
            if seed == 0:  # centres on the optical axis and bodies seen end on
                position = torch.zeros(1, 1, 6, 3).requires_grad_()
            orientation = trajectory.orientation.clone().requires_grad_()
            if seed in (0, 1):
                orientation = torch.tensor([1.0, 0, 0, 0]).expand(1, 1, 6, 4).clone().requires_grad_()
            moved = dataclasses.replace(trajectory, position=position, orientation=orientation)
            raster = rasterise(moved, bodies, camera, tau_px=0.3, shading="shaded")
            loss = sum(
                value.square().sum() for value in (raster.ids, raster.masks, raster.colour, raster.depth, raster.motion)
            )
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(position.grad).all()
            assert torch.isfinite(orientation.grad).all()


def test_absent_and_hidden_bodies_are_not_drawn():
    bodies, trajectory = world([Sphere(0.4), Box((0.3, 0.3, 0.3))], [((0, 0, 0.4),), ((0, -0.8, 0.5),)], PERSPECTIVE)
    gone = dataclasses.replace(trajectory, presence=torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    assert rasterise(gone, bodies, PERSPECTIVE).masks[0, 0, 1].max() == 0
    behind = trajectory.position.clone()
    behind[..., 0, 1] = -6.0
    raster = rasterise(dataclasses.replace(trajectory, position=behind), bodies, PERSPECTIVE)
    assert raster.masks[0, 0, 0].max() == 0
    assert raster.masks[0, 0, 1].max() > 0.9


def test_floor_box_under_the_camera_is_clipped():
    """A box that reaches behind the eye is cut at the near distance: the lower half of the picture sees it."""
    camera = Camera(position=(0, -2, 1), target=(0, 4, 1), width=32, height=32, near=0.05)
    bodies, trajectory = world([Box((20.0, 20.0, 0.1))], [((0, 0, -0.1),)], camera)
    mask = rasterise(trajectory, bodies, camera, tau_px=0.1).masks[0, 0, 0]
    horizon = 16 + camera.focal * 1 / 22
    rows = torch.arange(32) + 0.5
    assert (mask[rows > horizon + 0.5] > 0.9).all()
    assert (mask[rows < horizon - 0.5] < 0.1).all()


def test_batch_of_cameras_equals_single():
    cameras = [PERSPECTIVE, dataclasses.replace(PERSPECTIVE, position=(1.0, -5.0, 1.0), fov=40)]
    bodies, trajectory = mixed(PERSPECTIVE, 2)
    twice = trajectory.map(lambda t: t.expand(2, *t.shape[1:]))
    both = rasterise(twice, bodies, cameras)
    for i, camera in enumerate(cameras):
        one = rasterise(trajectory, bodies, camera)
        assert torch.allclose(both.colour[i], one.colour[0], atol=1e-9)
        assert torch.allclose(both.motion[i], one.motion[0], atol=1e-9)


def test_bad_input_is_refused():
    bodies, trajectory = world([Sphere(0.4)], [((0, 0, 0.4),)], PERSPECTIVE)
    with pytest.raises(ValueError, match="tau_px"):
        rasterise(trajectory, bodies, PERSPECTIVE, tau_px=-0.1)
    with pytest.raises(ValueError, match="shading"):
        rasterise(trajectory, bodies, PERSPECTIVE, shading="phong")
    with pytest.raises(ValueError, match="channels"):
        rasterise(trajectory, bodies, PERSPECTIVE, channels=("color",))
    with pytest.raises(ValueError, match="camera"):
        rasterise(trajectory, bodies, [PERSPECTIVE] * 3)
    with pytest.raises(ValueError, match="width"):
        View.from_cameras([PERSPECTIVE, small(PERSPECTIVE)])
    other = trajectory.map(lambda t: torch.cat([t, t], 2))
    with pytest.raises(ValueError, match="bodies"):
        rasterise(other, bodies, PERSPECTIVE)


def covered(shape, x, z, turn, camera, factor):
    """A picture of the shape in its plane, each pixel the share of factor x factor points that lie inside."""
    fine = dataclasses.replace(camera, width=camera.width * factor, height=camera.height * factor)
    hard, _ = planar_pair([shape], [((x, 0, z), turn)], fine)
    inside = (hard.masks[0, 0, 0] > 0.5).double()
    return inside.unflatten(0, (-1, factor)).unflatten(-1, (-1, factor)).mean((1, 3))


def planar_pair(shapes, states, camera, tau=1e-3):
    bodies = tuple(Body(f"b{i}", s, State(*state)) for i, (s, state) in enumerate(zip(shapes, states, strict=True)))
    scene = Scene(bodies=bodies, camera=camera, planar=True)
    start = Trajectory.start_of([scene], dtype=torch.float64)
    return rasterise(start, Bodies.from_scenes([scene], dtype=torch.float64), camera, tau_px=tau), scene


@pytest.mark.parametrize("shape", [Sphere(0.9), Box((1.0, 0.5, 0.7)), Capsule(0.4, 0.8)], ids=lambda s: s.kind)
def test_without_softness_a_pixel_holds_the_share_that_is_covered(shape):
    camera = planar_camera(10, 40)
    for angle, x, z in ((0.0, 4.93, 5.11), (0.4, 5.3, 4.7), (1.1, 4.6, 5.05)):
        turn = (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
        drawn, _ = planar_pair([shape], [((x, 0, z), turn)], camera, tau=0)
        off = (drawn.masks[0, 0, 0] - covered(shape, x, z, turn, camera, 16)).abs()
        assert off.max() < 0.2  # at corners, where the outline is not straight within the pixel
        assert off.square().mean().sqrt() < 0.006


def test_areas_of_touching_bodies_of_a_plane_add_up():
    camera = planar_camera(10, 40)
    balls = [Sphere(1.0), Sphere(0.7)]
    angle = 0.6
    apart = (5 + 1.7 * math.cos(angle), 0, 5 + 1.7 * math.sin(angle))
    both, _ = planar_pair(balls, [((5, 0, 5),), (apart,)], camera, tau=0)
    alone = [planar_pair([b], [(p,)], camera, tau=0)[0] for b, p in zip(balls, ((5, 0, 5), apart), strict=True)]
    for k, one in enumerate(alone):
        torch.testing.assert_close(both.ids[0, 0, k + 1].sum(), one.masks[0, 0, 0].sum(), rtol=2e-4, atol=0)
    torch.testing.assert_close(both.ids.sum(2), torch.ones_like(both.ids[:, :, 0]))
    assert both.ids.min() >= 0

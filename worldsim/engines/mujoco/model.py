"""A Scene as a MuJoCo model: bodies, joints, actuators, explicit contact pairs, materials. Stepping is left to others.

Geoms carry no mass and collide through explicit pairs only, so that the pair law is the scene's and never MuJoCo's
own mixing. Bodies of one group never collide with each other: the links of a walker or an arm overlap at their joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.engines.mujoco.backend import mujoco
from worldsim.engines.ring import ring_capsules
from worldsim.engines.stepping import exempt_pairs
from worldsim.scene import Actuator, Body, Box, Capsule, Joint, Plane, Polygon, Ring, Scene, Sphere, light
from worldsim.scene.checks import require

# Contacts are found this far ahead of touching, so that a resting body does not flicker in and out of contact, metres.
MARGIN = 1e-3
# Nearly rigid: MuJoCo regularises constraints by (1 - d) / d of their inverse inertia, with d at most 0.9999.
RIGID = (0.9999, 0.9999, 1e-3, 0.5, 1.0)


@dataclass(frozen=True)
class Compiled:
    """A compiled scene and the maps between its bodies and MuJoCo's.

    Attributes:
        model: mujoco.MjModel.
        body_ids: (N,) MuJoCo body of each scene body.
        geom_owner: (G,) place in Scene.bodies of each geom's body.
        free_address: (N,) first qpos address of bodies that float freely in three dimensions, -1 for others.
        planar_address: (N,) first qpos address of freely moving planar bodies, -1 for others.
        jointed: Places of bodies that hang on a joint, directly or by their ancestors.
        damped: Whether a joint has damping or an actuator, which want an implicit integrator.
    """

    model: Any
    body_ids: NDArray[np.int64]
    geom_owner: NDArray[np.int64]
    free_address: NDArray[np.int64]
    planar_address: NDArray[np.int64]
    jointed: tuple[int, ...]
    damped: bool


def mujoco_name(name: str) -> str:
    """Name of a body in MuJoCo, where "world" is taken; scene names never hold a slash."""
    return name if name != "world" else "world/body"


def _add_geoms(spec: Any, target: Any, body: Body, material: str) -> None:
    """Give a MuJoCo body the geoms of a scene body; several for a ring."""
    shape, kind = body.shape, mujoco.mjtGeom

    def add(index: int, **fields: object) -> None:
        target.add_geom(
            name=f"{body.name}/{index}",
            material=material,
            mass=0,
            contype=0,
            conaffinity=0,
            condim=3,
            friction=[body.friction, 0, 0],
            **fields,
        )

    if isinstance(shape, Sphere):
        add(0, type=kind.mjGEOM_SPHERE, size=[shape.radius, 0, 0])
    elif isinstance(shape, Box):
        add(0, type=kind.mjGEOM_BOX, size=list(shape.half_extents))
    elif isinstance(shape, Capsule):
        add(0, type=kind.mjGEOM_CAPSULE, size=[shape.radius, shape.half_length, 0])
    elif isinstance(shape, Plane):
        add(0, type=kind.mjGEOM_PLANE, size=[shape.half_size, shape.half_size, 1])
    elif isinstance(shape, Polygon):
        corners = [(x, y, z) for y in (-shape.half_depth, shape.half_depth) for x, z in shape.vertices]
        mesh = f"{body.name}/mesh"
        spec.add_mesh(name=mesh, uservert=np.array(corners).ravel().tolist())
        add(0, type=kind.mjGEOM_MESH, meshname=mesh)
    elif isinstance(shape, Ring):
        ring = ring_capsules(shape)
        for i, (centre, turn) in enumerate(zip(ring.centres, ring.orientations, strict=True)):
            size = [ring.radius, ring.half_length, 0]
            add(i, type=kind.mjGEOM_CAPSULE, size=size, pos=centre.tolist(), quat=turn.tolist())


def _rotate(quaternion: tuple[float, ...], vector: tuple[float, ...]) -> NDArray[np.float64]:
    out = np.zeros(3)
    mujoco.mju_rotVecQuat(out, np.array(vector), np.array(quaternion))
    return out


def _add_joint(target: Any, joint: Joint) -> None:
    if joint.kind == "fixed":
        return
    kinds = {
        "hinge": mujoco.mjtJoint.mjJNT_HINGE,
        "slide": mujoco.mjtJoint.mjJNT_SLIDE,
        "ball": mujoco.mjtJoint.mjJNT_BALL,
    }
    fields: dict[str, object] = {}
    if joint.limits is not None:
        # A ball's coordinate is its angle from the reference, which MuJoCo bounds from above only.
        ball = joint.kind == "ball"
        rule = "from 0 to an angle for a ball"
        require(f"joint[{joint.name}].limits", rule, not ball or joint.limits[0] == 0, joint.limits)
        fields = {"limited": 1, "range": list(joint.limits)}
    target.add_joint(
        name=joint.name,
        type=kinds[joint.kind],
        pos=list(joint.child_anchor),
        axis=list(joint.axis),
        damping=[joint.damping, 0, 0],
        stiffness=[joint.stiffness, 0, 0],
        armature=joint.armature,
        solimp_limit=[0.99, 0.999, 1e-3, 0.5, 2],
        solref_limit=[0.005, 1],
        **fields,
    )


def _add_actuator(spec: Any, index: int, actuator: Actuator) -> None:
    position = actuator.kind == "position"
    spec.add_actuator(
        name=f"{actuator.joint}/{index}",
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        target=actuator.joint,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        gainprm=[actuator.gain] + [0.0] * 9,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE if position else mujoco.mjtBias.mjBIAS_NONE,
        biasprm=([0.0, -actuator.gain, -actuator.damping] if position else [0.0] * 3) + [0.0] * 7,
        ctrllimited=1,
        ctrlrange=list(actuator.limits),
        forcelimited=1,
        forcerange=[-actuator.force_limit, actuator.force_limit],
    )


def _add_bodies(spec: Any, scene: Scene) -> dict[str, Any]:
    """Bodies in an order in which parents come first."""
    by_child = {joint.child: joint for joint in scene.joints}
    made: dict[str, Any] = {}

    def make(body: Body) -> Any:
        if body.name in made:
            return made[body.name]
        state, joint = body.state, by_child.get(body.name)
        assert state is not None
        parent = spec.worldbody
        position, turn = list(state.position), list(state.orientation)
        if joint is not None:
            if joint.parent is not None:
                parent = make(scene.bodies[scene.index(joint.parent)])
            offset = _rotate(joint.reference, joint.child_anchor)
            position = (np.array(joint.parent_anchor) - offset).tolist()
            turn = list(joint.reference)
        elif scene.planar and not body.static:
            position, turn = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]
        item = parent.add_body(name=mujoco_name(body.name), pos=position, quat=turn)
        if body.shape.kind != "plane":
            item.mass, item.ipos, item.explicitinertial = body.mass, [0, 0, 0], True
            item.inertia = list(body.inertia(scene.planar))
        if joint is not None:
            _add_joint(item, joint)
        elif not body.static and scene.planar:
            for axis, direction in (("x", [1, 0, 0]), ("z", [0, 0, 1])):
                item.add_joint(name=f"{body.name}/{axis}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=direction)
            item.add_joint(name=f"{body.name}/angle", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0])
        elif not body.static:
            item.add_joint(name=f"{body.name}/free", type=mujoco.mjtJoint.mjJNT_FREE)
        made[body.name] = item
        return item

    for body in scene.bodies:
        make(body)
    return made


def _add_pairs(spec: Any, scene: Scene) -> None:
    geoms = [[f"{b.name}/{i}" for i in range(_geom_count(b))] for b in scene.bodies]
    exempt = exempt_pairs(scene)
    for i, a in enumerate(scene.bodies):
        for j in range(i + 1, len(scene.bodies)):
            b = scene.bodies[j]
            if (i, j) in exempt:
                continue
            friction = math.sqrt(a.friction * b.friction)
            for first in geoms[i]:
                for second in geoms[j]:
                    spec.add_pair(
                        name=f"{first}|{second}",
                        geomname1=first,
                        geomname2=second,
                        condim=3 if friction > 0 else 1,
                        friction=[max(friction, 1e-5), max(friction, 1e-5), 0, 0, 0],
                        solimp=list(RIGID),
                        margin=MARGIN,
                    )


def _geom_count(body: Body) -> int:
    return len(ring_capsules(body.shape).centres) if isinstance(body.shape, Ring) else 1


def _light(spec: Any) -> None:
    """The lights of worldsim.scene.light, with highlights.

    MuJoCo lifts shadow maps by 1.5 times the larger slope of a surface along the map's axes, and reads four texels, of
    which the farthest is off by the sum of both slopes. From this direction level ground has a smaller slope under half
    of the larger, so that it does not speckle itself with shadows.
    """
    head = spec.visual.headlight
    head.ambient, head.diffuse, head.specular = [light.AMBIENT] * 3, [light.LAMP] * 3, [0.1] * 3
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[-2, -3, 6],
        dir=list(light.SUN_DIRECTION),
        ambient=[0, 0, 0],
        diffuse=[light.SUN] * 3,
        specular=[0.25] * 3,
        castshadow=1,
    )


def build_spec(scene: Scene) -> Any:
    """The scene as an editable MuJoCo specification."""
    spec = mujoco.MjSpec()
    spec.modelname = scene.family or "worldsim"
    spec.compiler.degree = 0
    spec.option.gravity = list(scene.law.gravity)
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    # Bodies keep the inertia that the scene gives them, and static children stay bodies of their own.
    spec.compiler.fusestatic = 0
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    flat = scene.shading == "flat"
    _light(spec)
    spec.add_texture(
        name="background",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=list(scene.background),
        rgb2=list(scene.background),
        width=4,
        height=24,
    )
    for body in scene.bodies:
        spec.add_material(
            name=f"{body.name}/material",
            rgba=[*body.colour, 1.0],
            emission=1.0 if flat else 0.0,
            specular=0.0 if flat else 0.3,
            shininess=0.0 if flat else 0.4,
        )
    for name, item in _add_bodies(spec, scene).items():
        _add_geoms(spec, item, scene.bodies[scene.index(name)], f"{name}/material")
    _add_pairs(spec, scene)
    for index, actuator in enumerate(scene.robot.actuators if scene.robot else ()):
        _add_actuator(spec, index, actuator)
    return spec


def _set_drag(model: Any, scene: Scene, compiled_free: NDArray[np.int64]) -> None:
    """Drag of free bodies as damping of their linear coordinates: force -drag * m * v, exactly the law."""
    for place, address in enumerate(compiled_free):
        if address >= 0:
            joint = int(np.flatnonzero(model.jnt_qposadr == address)[0])
            dof = int(model.jnt_dofadr[joint])
            linear = 2 if scene.planar else 3
            model.dof_damping[dof : dof + linear] = scene.law.drag * scene.bodies[place].mass


def compile_scene(scene: Scene) -> Compiled:
    """Compile the scene and find its bodies in the model.

    Raises:
        ValueError: Where a joint cannot be played, as a ball in a planar scene.
    """
    for joint in scene.joints:
        field = f"joint[{joint.name}]"
        if scene.planar:
            require(f"{field}.kind", "hinge, slide or fixed in a planar scene", joint.kind != "ball", joint.kind)
            across = abs(abs(joint.axis[1]) - (1.0 if joint.kind == "hinge" else 0.0)) < 1e-9
            rule = "along y for a hinge and in the xz-plane for a slide of a planar scene"
            require(f"{field}.axis", rule, joint.kind == "fixed" or across, joint.axis)
    model = build_spec(scene).compile()
    names = [mujoco_name(body.name) for body in scene.bodies]
    body_ids = np.array([mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_BODY), n) for n in names], dtype=np.int64)
    place = np.full(model.nbody, -1, dtype=np.int64)
    place[body_ids] = np.arange(len(names))
    children = {joint.child for joint in scene.joints}
    loose = [not b.static and b.name not in children for b in scene.bodies]
    address = np.array(
        [int(model.jnt_qposadr[model.body_jntadr[b]]) if free else -1 for b, free in zip(body_ids, loose, strict=True)],
        dtype=np.int64,
    )
    none = np.full(len(names), -1, dtype=np.int64)
    _set_drag(model, scene, address)
    jointed = tuple(i for i, body in enumerate(scene.bodies) if body.name in children)
    damped = scene.robot is not None or any(joint.damping > 0 for joint in scene.joints)
    return Compiled(
        model,
        body_ids,
        place[model.geom_bodyid],
        none if scene.planar else address,
        address if scene.planar else none,
        jointed,
        damped,
    )


def to_mjcf(scene: Scene) -> str:
    """The scene as MJCF text, at its joints' reference, for other programs.

    Restitution and the linear drag of free bodies have no counterpart in MJCF and are not in the text.
    """
    spec = build_spec(scene)
    spec.compile()
    text: str = spec.to_xml()
    return text

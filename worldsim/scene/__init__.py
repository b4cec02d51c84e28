"""What a world is: bodies, law, camera, start states. No tensors and no engine."""

from worldsim.scene.body import Actuator, Body, Joint, Robot, State
from worldsim.scene.camera import Camera, planar_camera
from worldsim.scene.check import check_scenario
from worldsim.scene.registry import Scenario, build_scene, list_scenes, make_scene, register, scenarios, scene_rng
from worldsim.scene.scene import SCHEMA_VERSION, Law, Scene, Setup
from worldsim.scene.serialise import dumps, from_dict, load_scene, loads_scene, loads_setup, save_scene, to_dict
from worldsim.scene.shapes import SHAPES, Box, Capsule, Plane, Polygon, Ring, Shape, Sphere, unit_inertia

__all__ = [
    "SCHEMA_VERSION",
    "SHAPES",
    "Actuator",
    "Body",
    "Box",
    "Camera",
    "Capsule",
    "Joint",
    "Law",
    "Plane",
    "Polygon",
    "Ring",
    "Robot",
    "Scenario",
    "Scene",
    "Setup",
    "Shape",
    "Sphere",
    "State",
    "build_scene",
    "check_scenario",
    "dumps",
    "from_dict",
    "list_scenes",
    "load_scene",
    "loads_scene",
    "loads_setup",
    "make_scene",
    "planar_camera",
    "register",
    "save_scene",
    "scenarios",
    "scene_rng",
    "to_dict",
    "unit_inertia",
]

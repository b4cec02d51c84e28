"""Referring expressions: the shortest of a few forms that picks out one object of a scene and no other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from worldsim.captions.events import moving, objects
from worldsim.scene import Polygon, Scene

# Basic colour terms (Berlin and Kay 1969) at typical sRGB places.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.15, 0.15),
    "orange": (0.95, 0.55, 0.15),
    "yellow": (0.95, 0.85, 0.2),
    "green": (0.2, 0.65, 0.3),
    "blue": (0.2, 0.4, 0.85),
    "purple": (0.55, 0.3, 0.75),
    "pink": (0.95, 0.6, 0.75),
    "brown": (0.5, 0.33, 0.2),
    "grey": (0.55, 0.55, 0.55),
    "black": (0.08, 0.08, 0.08),
    "white": (0.95, 0.95, 0.95),
    "teal": (0.15, 0.65, 0.65),
}
NOUNS = {"sphere": "ball", "box": "box", "capsule": "rod", "plane": "plane", "ring": "ring"}
POLYGONS = {3: "triangle", 4: "quadrilateral", 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}
# A size word is used where the larger extent is at least this many times the smaller.
SIZE_RATIO = 1.15


@dataclass(frozen=True)
class Description:
    """What an object looks like at the start, in words.

    Attributes:
        noun: Such as ball.
        colour: One of COLOURS.
        extent: Metres, of the largest body.
        side: Image column of the object at the start, pixels.
    """

    noun: str
    colour: str
    extent: float
    side: float


@lru_cache(maxsize=1024)
def colour_name(colour: tuple[float, float, float]) -> str:
    """The nearest basic colour term, by Euclidean distance in CIE L*a*b*."""
    target = _lab(colour)
    return min(COLOURS, key=lambda name: math.dist(target, _lab(COLOURS[name])))


@lru_cache(maxsize=1024)
def _lab(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * c for m, c in zip(row, linear, strict=True)) for row in to_xyz]
    white = (0.9505, 1.0, 1.089)

    def f(value: float) -> float:
        return float(value ** (1 / 3)) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116

    x, y, z = (f(v / w) for v, w in zip(xyz, white, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def describe_object(scene: Scene, name: str) -> Description:
    """Words for an object: static ones and groups go by their own name, single moving bodies by their shape."""
    members = objects(scene)[name]
    bodies = [scene.bodies[i] for i in members]
    largest = max(bodies, key=lambda b: b.shape.extent)
    shape = largest.shape
    if len(bodies) == 1 and moving(scene, members):
        noun = POLYGONS.get(len(shape.vertices), "polygon") if isinstance(shape, Polygon) else NOUNS[shape.kind]
    else:
        noun = _plain_noun(name)
    centre = np.mean([b.state.position for b in bodies if b.state is not None], axis=0)
    pixels, _ = scene.camera.project(centre)
    return Description(noun, colour_name(largest.colour), shape.extent, float(pixels[0]))


def _plain_noun(name: str) -> str:
    """Words of a name without its index: walker_a and wall_2 are a walker and a wall."""
    words = [w for w in name.replace("-", "_").split("_") if w and not w.isdigit() and len(w) > 1]
    return " ".join(word.rstrip("0123456789") for word in words) or name


@dataclass(frozen=True)
class Lexicon:
    """The words of one scene, worked out once.

    Attributes:
        scene: That is talked about.
        descriptions: Object name to what it looks like.
        forms: Object name to all forms without an article that could stand for it, from short to long.
    """

    scene: Scene
    descriptions: dict[str, Description]
    forms: dict[str, list[str]]

    @staticmethod
    def of(scene: Scene) -> Lexicon:
        """The lexicon of a scene."""
        descriptions = {name: describe_object(scene, name) for name in objects(scene)}
        return Lexicon(scene, descriptions, {name: _forms(name, descriptions) for name in descriptions})

    def refer(self, name: str) -> str:
        """The shortest form that no other object of the scene shares; names where nothing else tells them apart."""
        others = {form for other, forms in self.forms.items() if other != name for form in forms}
        for form in self.forms[name]:
            if form not in others:
                return form
        return f"{self.descriptions[name].noun} called {name}"

    def resolve(self, expression: str) -> str:
        """The one object that an expression stands for.

        Raises:
            ValueError: Where none or several do.
        """
        if " called " in expression:
            name = expression.split(" called ")[1]
            matches = [name] if name in self.forms else []
        else:
            matches = [name for name, forms in self.forms.items() if expression in forms]
        if len(matches) != 1:
            raise ValueError(f"caption: {expression!r} must stand for one object, stands for {matches}")
        return matches[0]


def _forms(name: str, descriptions: dict[str, Description]) -> list[str]:
    own = descriptions[name]
    forms = [own.noun, f"{own.colour} {own.noun}"]
    twins = [d for other, d in descriptions.items() if other != name and d.noun == own.noun and d.colour == own.colour]
    if twins and all(own.extent >= SIZE_RATIO * d.extent for d in twins):
        forms.append(f"large {own.colour} {own.noun}")
    if twins and all(own.extent * SIZE_RATIO <= d.extent for d in twins):
        forms.append(f"small {own.colour} {own.noun}")
    sides = sorted([own.side, *(d.side for d in twins)])
    rank = sides.index(own.side)
    if twins and sides.count(own.side) == 1:
        place = {0: "leftmost", len(sides) - 1: "rightmost"}.get(rank, f"{_ordinal(rank + 1)} from left")
        forms.append(f"{place} {own.colour} {own.noun}" if " " not in place else f"{own.colour} {own.noun} {place}")
    return forms


def _ordinal(number: int) -> str:
    words = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    return words[number - 1] if number <= len(words) else f"number {number}"

"""Which scenes a suite asks: families, seeds, and a hash of each scene, frozen in a file beside this one.

python -m worldsim.benchmarks.suite.manifest     writes core.json anew; rows made before and after cannot be compared.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from worldsim.data.generate import with_pixels
from worldsim.scene import Scene, make_scene, to_dict
from worldsim.scene.checks import require
from worldsim.scene.files import write_bytes

SPLITS = ("id", "ood")
ROLE = "test"
# Worlds whose ground truth the built-in tracker follows and in which bodies can be placed: without both, a clip is
# judged by permanence alone and a motionless one passes (billiards, incline and occluder at 64 pixels).
CORE = ("uniform_motion", "parabola", "collision", "bouncing", "bouncing_balls", "looming", "hoop")
SEEDS = 100
_DIGITS = 9  # of numbers in what is hashed: the last ones differ between processors


@dataclass(frozen=True)
class Case:
    """A scene of a suite.

    Attributes:
        family: Of the scene.
        split: "id" or "ood".
        seed: Of the scene.
        digest: That the scene must have.
    """

    family: str
    split: str
    seed: int
    digest: str

    @property
    def name(self) -> str:
        """Of its files and of the videos that answer it, such as hoop-ood-003."""
        return f"{self.family}-{self.split}-{self.seed:03d}"


@dataclass(frozen=True)
class Manifest:
    """The frozen scenes of a suite.

    Attributes:
        name: Of the suite.
        version: Counts up whenever the scenes change.
        hashes: Family to split to the hash of each seed's scene, from seed 0 on.
    """

    name: str
    version: int
    hashes: dict[str, dict[str, tuple[str, ...]]]

    @property
    def families(self) -> tuple[str, ...]:
        """In the order of show."""
        return tuple(self.hashes)

    def cases(self, num: int, families: Sequence[str] = ()) -> list[Case]:
        """The first `num` seeds of each family and split; without families, all of them."""
        for family in families:
            require(
                "families", f"of {', '.join(self.families)} in the suite {self.name}", family in self.hashes, family
            )
        most = min(len(hashes) for splits in self.hashes.values() for hashes in splits.values())
        require("num", f"a whole number from 1 to {most}", isinstance(num, int) and 1 <= num <= most, num)
        return [
            Case(family, split, seed, self.hashes[family][split][seed])
            for family in families or self.families
            for split in SPLITS
            for seed in range(num)
        ]


def list_suites() -> list[str]:
    """Names of the suites that are shipped."""
    files = resources.files("worldsim.benchmarks.suite").iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


@functools.cache
def load_manifest(name: str) -> Manifest:
    """The suite of that name."""
    known = list_suites()
    require("suite", f"one of {', '.join(known)}", name in known, name)
    text = resources.files("worldsim.benchmarks.suite").joinpath(f"{name}.json").read_text("utf-8")
    document = json.loads(text)
    hashes = {
        family: {split: tuple(words.split()) for split, words in splits.items()}
        for family, splits in document["hashes"].items()
    }
    return Manifest(document["name"], document["version"], hashes)


def scene_hash(scene: Scene) -> str:
    """12 hexadecimal digits of SHA-256 over the scene's JSON, whose numbers are rounded to 9 significant digits."""
    text = json.dumps(_rounded(to_dict(scene)), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") + 0.0  # -0 becomes 0
    return value


def draw_case(case: Case, pixels: int, frames: int) -> Scene:
    """The scene of a case, at a height of picture and a number of frames.

    Raises:
        ValueError: Where the family no longer draws the scene that was frozen.
    """
    scene = make_scene(case.family, seed=case.seed, split=case.split, role=ROLE)
    found = scene_hash(scene)
    if found != case.digest:
        raise ValueError(
            f"scene {case.name}: must hash to {case.digest} as frozen in the suite, got {found}; the family "
            f"{case.family} draws other scenes than when the suite was frozen, so that rows could not be compared: use "
            "the version of worldsim that the suite was frozen with, or freeze it anew with "
            "python -m worldsim.benchmarks.suite.manifest"
        )
    return dataclasses.replace(with_pixels(scene, pixels), duration=(frames - 1) / scene.fps)


def freeze(name: str, families: Sequence[str], seeds: int, version: int) -> bytes:
    """The manifest of the scenes as the families draw them now."""
    hashes = {
        family: {
            split: " ".join(scene_hash(make_scene(family, seed=seed, split=split, role=ROLE)) for seed in range(seeds))
            for split in SPLITS
        }
        for family in families
    }
    document = {"name": name, "version": version, "role": ROLE, "hashes": hashes}
    return json.dumps(document, indent=1).encode() + b"\n"


def main() -> None:
    """Freeze the core suite; its version counts up where a scene changed."""
    path = Path(__file__).parent / "core.json"
    version = json.loads(path.read_bytes())["version"] if path.exists() else 1
    data = freeze("core", CORE, SEEDS, version)
    if path.exists() and path.read_bytes() != data:
        data = freeze("core", CORE, SEEDS, version + 1)
    write_bytes(path, data)


if __name__ == "__main__":
    main()

"""What a run began with, kept in its folder: it goes on with the same model, data and parts, or not at all.

How it is trained (steps, rate, seed) lies in its checkpoints; the Trainer holds a resumed run to that.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.models.config import WorldModelConfig
from worldsim.models.pretrained import CONFIG
from worldsim.scene import from_dict
from worldsim.scene.files import write_bytes
from worldsim.training.checkpoint import checkpoints
from worldsim.training.trainer import Trainer

FACTS = "run.json"


def begin_run(trainer: Trainer, config: WorldModelConfig, facts: Mapping[str, Any], resume: bool) -> None:
    """Write config.json and run.json into a new run's folder, or hold those that are there against what is asked.

    A folder that holds checkpoints is left as it is: the trainer refuses to begin there anew.

    Args:
        trainer: That is about to train.
        config: Of its model.
        facts: Plain JSON values beside it that must stay the same, such as the data and the parts taken from elsewhere.
        resume: Whether the run goes on.

    Raises:
        ValueError: Where a resumed run has no config.json, or began with something else; names the field. Without
            run.json only the model is compared.
    """
    out, model = trainer.folder, dataclasses.asdict(config)
    if resume:
        if not (out / CONFIG).exists():
            raise ValueError(f"resume: must find {CONFIG} in {out}, it has none")
        stored = from_dict(WorldModelConfig, _read(out / CONFIG), str(out / CONFIG))
        _same(dataclasses.asdict(stored), model, out / CONFIG)
        if (out / FACTS).exists():
            _same(_read(out / FACTS), facts, out / FACTS)
    elif trainer.accelerator.is_main_process and not checkpoints(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, values in ((CONFIG, model), (FACTS, dict(facts))):
            write_bytes(out / name, json.dumps(values, indent=1).encode("utf-8"))


def _read(path: Path) -> Any:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: must be readable JSON, {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must be a JSON object, got {values!r}")
    return values


def _same(stored: Mapping[str, Any], now: Mapping[str, Any], path: Path, within: str = "") -> None:
    for key, value in now.items():
        found = stored.get(key)
        if isinstance(found, Mapping) and isinstance(value, Mapping):
            _same(found, value, path, f"{within}{key}.")
        # Through JSON, which makes lists of tuples.
        elif json.loads(json.dumps(found)) != json.loads(json.dumps(value)):
            raise ValueError(f"{within}{key}: must be {found!r} as in {path}, got {value!r}")

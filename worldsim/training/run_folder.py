"""The folder of a run: what it began with, its model and facts at its end, and a checkpoint to pass on made of it.

A run goes on with the same model, data and parts, or not at all. How it is trained (steps, rate, seed) lies in its
checkpoints; the Trainer holds a resumed run to that.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from worldsim.models.config import WorldModelConfig
from worldsim.models.model_card import ModelCard
from worldsim.models.pretrained import (
    CONFIG,
    check_tensors,
    from_pretrained,
    is_checkpoint,
    read_config,
    save_pretrained,
)
from worldsim.models.text import TextEncoder
from worldsim.models.world_model import WorldModel
from worldsim.scene import from_dict
from worldsim.scene.checks import require
from worldsim.scene.files import read_json, write_bytes
from worldsim.training.checkpoint import averaged_weights, checkpoints, load_checkpoint, newest_checkpoint
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
        _same(dataclasses.asdict(_config(out)), model, out / CONFIG)
        if (out / FACTS).exists():
            _same(_read(out / FACTS), facts, out / FACTS)
    elif trainer.accelerator.is_main_process and not checkpoints(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, values in ((CONFIG, model), (FACTS, dict(facts))):
            write_bytes(out / name, json.dumps(values, indent=1).encode("utf-8"))


def load_run(
    run: str | os.PathLike[str], denoiser: nn.Module | None = None, text: TextEncoder | None = None
) -> WorldModel:
    """The averaged weights of a training run at its last step, in evaluation mode.

    Args:
        run: Folder of the run, or a checkpoint made of one, as from_pretrained takes it.
        denoiser: In place of a VideoDiT, where the run trained another one; it takes on the run's weights.
        text: In place of a GrammarEncoder, alike.

    Raises:
        ValueError: Where the run holds no config or no whole checkpoint, or is of another denoiser.
    """
    if is_checkpoint(run):
        return from_pretrained(run, denoiser, text)
    run = Path(run)
    weights = averaged_weights(run)
    model = WorldModel(_config(run), denoiser, text=text)
    check_tensors(weights, model.state_dict(), f"{run}")
    model.load_state_dict(weights, strict=True)
    return model.eval()


def run_facts(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Seed, steps and minutes of a training run, all its pieces together, or as a checkpoint's card has them."""
    if is_checkpoint(run):
        card = read_config(run)[1]
        return {"seed": card.seed, "steps": card.steps, "minutes": card.minutes}
    path = newest_checkpoint(Path(run))
    meta = load_checkpoint(path, ())[1]
    require(f"{path / 'meta.json'}.config", "one with a seed", "seed" in meta["config"], meta["config"])
    minutes = _minutes(Path(run) / "log.jsonl")
    return {"seed": int(meta["config"]["seed"]), "steps": int(meta["step"]), "minutes": minutes}


def stage_commands(runs: Sequence[Path], script: str, flags: Callable[[Path], str]) -> str:
    """What trained a model in stages, as its card tells it: each stage goes on from the averaged weights of the last.

    Args:
        runs: Folders of the stages, in order.
        script: That trained them, called with DATA and a run's name.
        flags: Of a run, beside its steps, learning rate and start.
    """
    told, before = [], ""
    for run, name in zip(runs, [*(f"RUN{n}" for n in range(1, len(runs))), "RUN"], strict=True):
        asked = load_checkpoint(newest_checkpoint(run), ())[1]["config"]
        rate = f"--steps {asked['steps']} --learning-rate {asked['learning_rate']:g}"
        told.append(" ".join(part for part in (f"python {script} DATA {name} {rate}", flags(run), before) if part))
        before = f"--start {name}"
    return "; then ".join(told)


def stage_minutes(before: Sequence[Path]) -> str:
    """What the card of a model trained in stages says of the wall-clock of those before the last; empty without any."""
    minutes = sum(run_facts(run)["minutes"] for run in before)
    return f"The runs before the last took {minutes:.0f} minutes more. " if before else ""


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    card: ModelCard | Mapping[str, Any] | None = None,
    denoiser: nn.Module | None = None,
    text: TextEncoder | None = None,
) -> Path:
    """Turn a training run into a checkpoint to pass on: its averaged weights at the last step, in half precision.

    Rounding halves the file; each weight keeps 11 significant bits.

    Args:
        run: Folder of the run: config.json with the WorldModelConfig, and step_* checkpoints of the trainer.
        out: Folder to write.
        card: Its card; seed, steps and minutes are the run's.
        denoiser: In place of a VideoDiT, as of load_run; its weights are rounded as well.
        text: In place of a GrammarEncoder, alike.

    Raises:
        ValueError: Where the run holds no config or no whole checkpoint, or is of another denoiser.
    """
    model = load_run(run, denoiser, text)
    if not isinstance(card, ModelCard):
        card = from_dict(ModelCard, dict(card or {}), "card")
    return save_pretrained(model.half(), out, dataclasses.replace(card, **run_facts(run)))


def _config(run: Path) -> WorldModelConfig:
    return from_dict(WorldModelConfig, _read(run / CONFIG), str(run / CONFIG))


def _read(path: Path) -> Any:
    values = read_json(path)
    require(f"{path}", "a JSON object", isinstance(values, dict), values)
    return values


def _same(stored: Mapping[str, Any], now: Mapping[str, Any], path: Path, within: str = "") -> None:
    for key, value in now.items():
        found = stored.get(key)
        if isinstance(found, Mapping) and isinstance(value, Mapping):
            _same(found, value, path, f"{within}{key}.")
        # Through JSON, which makes lists of tuples.
        elif json.loads(json.dumps(found)) != json.loads(json.dumps(value)):
            raise ValueError(f"{within}{key}: must be {found!r} as in {path}, got {value!r}")


def _minutes(log: Path) -> float:
    """Wall-clock of a run, over all its pieces: `seconds` starts anew with each, whose start `began` tells."""
    total, before, piece = 0.0, 0.0, None
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        told = json.loads(line)
        seconds, began = float(told["seconds"]), told.get("began")
        # Lines that do not tell when their piece began show a new one by less time than before.
        same = began == piece and seconds >= before
        total += seconds - before if same else seconds
        before, piece = seconds, began
    return round(total / 60, 2)

"""worldsim train: a world model from rollouts, with the levers of the pairing as settings, or from videos alone."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from worldsim.cli.progress import progress_bar
from worldsim.cli.settings import UsageError
from worldsim.data import RolloutDataset
from worldsim.data.clip import Clip, to_uint8
from worldsim.models import ModelCard, VideoDiT, WorldModel, WorldModelConfig, shipped
from worldsim.models.pretrained import CONFIG
from worldsim.models.tokenizer import VideoAutoencoder
from worldsim.training import TrainConfig, Trainer, begin_run, export
from worldsim.training.batches import RolloutBatches, VideoBatches
from worldsim.training.trainer import PRECISIONS
from worldsim.training.validation import averaged
from worldsim.vision.learned_readout import LearnedReadout


@dataclass(frozen=True)
class Config(TrainConfig):
    """Settings of `worldsim train`.

    Attributes:
        out: Folder of the run: checkpoints, log.jsonl, TensorBoard events with sample videos.
        data: Folders made by worldsim simulate, as data=DIR or data=[DIR,DIR]; batches take them in turn.
        videos: Folder of MP4s in place of data: the state terms are off, only the diffusion loss applies.
        start: Checkpoint to go on from, a shipped name or a folder: fine-tuning.
        batch_size: Videos a batch and process.
        tokenizer: Folder of a trained autoencoder, for model.tokenizer=autoencoder.
        readout: Folder of a trained readout, or a checkpoint whose readout to take, for model.readout=learned.
        plain: Train the plain twin: the same network and Setup tokens, every lever off.
        model: The model and its levers, as model.consistency=0.1 or model.dit.width=192; an experiment sets them.
        samples: Sample videos on TensorBoard at each checkpoint.
        resume: Go on from the newest checkpoint in out.
        export: Folder for a checkpoint to pass on, written at the end; none writes none.
    """

    out: str = field(default="outputs/train", metadata={"path": True})
    data: tuple[str, ...] = field(default=(), metadata={"path": True})
    videos: str | None = field(default=None, metadata={"path": True})
    start: str | None = field(default=None, metadata={"path": True})
    batch_size: int = 16
    tokenizer: str | None = field(default=None, metadata={"path": True})
    readout: str | None = field(default=None, metadata={"path": True})
    plain: bool = False
    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    samples: int = 2
    resume: bool = False
    export: str | None = field(default=None, metadata={"path": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("batch_size", 1), ("samples", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be {least} or more, got {getattr(self, name)!r}")


EXAMPLES = (
    "worldsim train +experiment=smoke data=data/collision out=outputs/smoke",
    "worldsim train +experiment=phyworld data=[data/uniform,data/parabola,data/collision] steps=1500 max_minutes=60",
    "worldsim train +experiment=phyworld data=[data/uniform,data/parabola,data/collision] plain=true out=outputs/plain",
    "worldsim train +experiment=violations data=data/balls model.consistency=0 out=outputs/no-consistency",
    "worldsim train +experiment=violations data=data/balls out=outputs/balls resume=true",
    "worldsim train +experiment=text data=[data/collision,data/uniform] out=outputs/opening export=outputs/text",
    "worldsim train +experiment=latent data=data/balls tokenizer=outputs/tokenizer",
    "worldsim train start=phyworld-small videos=clips learning_rate=1e-4 steps=200 export=outputs/mine",
)
POSITIONAL: tuple[str, ...] = ()
CHOICES = {"precision": PRECISIONS}
GROUPS = ("experiment",)
# Beside the model's settings and the data, what a resumed run must have in common with its beginning.
FACTS = ("videos", "start", "batch_size", "tokenizer", "readout")


def plain_twin(config: WorldModelConfig) -> WorldModelConfig:
    """The same network, told the same Setups, with every lever of the pairing off."""
    return dataclasses.replace(config, hint=False, state=0.0, consistency=0.0)


def run(config: Config) -> None:
    """Train, or go on training, then export where asked to."""
    if bool(config.data) == (config.videos is not None):
        raise UsageError("data, videos: must be given, one of them, as data=DIR or videos=DIR")
    torch.manual_seed(config.seed)
    if config.start is None:
        tokenizer = None if config.tokenizer is None else VideoAutoencoder.load(Path(config.tokenizer))
        model = WorldModel(plain_twin(config.model) if config.plain else config.model, tokenizer=tokenizer)
        if config.readout is not None:
            model.take_readout(_readout(config.readout))
    else:
        parts = (config.tokenizer, config.readout)
        if config.model != WorldModelConfig() or config.plain or parts != (None, None):
            raise UsageError(
                "start: must stand without model settings, plain, tokenizer and readout, the checkpoint brings its own"
            )
        model = WorldModel.from_pretrained(config.start).train()
    batches: RolloutBatches | VideoBatches
    if config.videos is not None:
        batches = VideoBatches(config.videos, model.config, config.batch_size, config.seed)
    else:
        batches = RolloutBatches(config.data, model.config, config.batch_size, config.seed)
    if config.shard:
        _check_sharded(config, model.config)
    out, console = Path(config.out), Console(soft_wrap=True)
    facts = {"data": list(config.data), **{name: getattr(config, name) for name in FACTS}}
    trainer_config = TrainConfig(**{f.name: getattr(config, f.name) for f in dataclasses.fields(TrainConfig)})
    seen = batches(0)
    latent = model.encode(seen.video[:1])
    if isinstance(model.denoiser, VideoDiT):
        model.denoiser.grid(tuple(latent.shape))  # refuses sizes that tubelets do not divide, before a run begins

    def callback(trainer: Trainer, step: int) -> None:
        _show(trainer, seen, config.samples)

    with progress_bar("training") as progress:
        trainer = Trainer(model, batches, trainer_config, callback, progress)
        begin_run(trainer, model.config, facts, config.resume)
        try:
            trainer.train(config.resume)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("add resume=true to go on from the last checkpoint") from None
    if not trainer.accelerator.is_main_process:
        return
    last = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    console.print(f"{trainer.step} of {config.steps} steps, {_terms(last)}: {out}", markup=False, highlight=False)
    if config.export is not None:
        folder = export(out, config.export, _card(config, model.config, seen))
        console.print(f"exported: {folder}", markup=False, highlight=False)


def _readout(told: str) -> LearnedReadout:
    """The readout in a folder of its own, or that of a checkpoint."""
    if told not in shipped() and not (Path(told) / CONFIG).is_file():
        return LearnedReadout.load(Path(told))
    readout = WorldModel.from_pretrained(told).readout
    if not isinstance(readout, LearnedReadout):
        raise ValueError(f"readout: must be a checkpoint with a learned readout, {told} reads by colour")
    return readout


def _check_sharded(config: Config, model: WorldModelConfig) -> None:
    """Refuse what needs the whole model in one process, or takes each process through weights of its own."""
    if config.samples:
        raise UsageError(f"samples: must be 0 with shard=true, no process holds the whole model; got {config.samples}")
    if 0 in model.context_lengths and len(model.context_lengths) > 1:
        raise UsageError(
            "model.context_lengths: must not mix 0 with others with shard=true, as an opening has no hint and leaves "
            f"weights out; got {model.context_lengths}"
        )


@torch.no_grad()
def _show(trainer: Trainer, seen: Clip, count: int) -> None:
    """Put truth and sample side by side on TensorBoard, by the averaged weights."""
    if not count or trainer.writer is None:
        return
    model = trainer.model
    assert isinstance(model, WorldModel)
    known, video = seen.num_context, seen.video[:count].to(trainer.accelerator.device)
    setups = seen.setups[:count] or None
    with averaged(trainer):
        told = model.actions_of(seen)
        actions = None if told is None else told[:count]
        made = model.generate(video[:, :, :known], setups, seen.num_frames - known, actions=actions)
    for i, pair in enumerate(zip(to_uint8(video), to_uint8(made.video), strict=True)):
        frames = np.concatenate([half.cpu().numpy() for half in pair], axis=2)
        trainer.show(f"truth and sample {i}", frames, model.config.fps)


def _terms(line: dict[str, Any]) -> str:
    skipped = ("step", "norm", "rate", "seconds", "began")
    return ", ".join(f"{name} {value:.4g}" for name, value in line.items() if name not in skipped)


def _card(config: Config, model: WorldModelConfig, seen: Clip) -> ModelCard:
    scenes: dict[str, dict[str, Any]] = {}
    preset = "fast"
    for folder in config.data:
        made = RolloutDataset(folder).config
        scenes[made.scene], preset = dict(made.scene_args), made.preset
    return ModelCard(
        scenes=scenes,
        size=tuple(seen.video.shape[-2:]),
        num_frames=model.clip_frames,
        preset=preset,
        data=", ".join(config.data) or f"videos of {config.videos}",
        command=shlex.join(["worldsim", *sys.argv[1:]]),
    )

"""The trainer: one loop on accelerate for a CPU, a GPU or many.

Batches and noise hang on (seed, step) alone, so a resumed run repeats an unbroken one bit for bit.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldsim.models.pretrained import check_tensors
from worldsim.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from worldsim.training.ema import LONGEST, PowerAverage
from worldsim.training.sharding import gather, make_accelerator, spread, whole
from worldsim.training.show import add_video

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        out: Folder of the run: checkpoints, log.jsonl, TensorBoard events.
        steps: In all.
        learning_rate: Highest, reached after the warm-up.
        warmup: Steps of linear warm-up; afterwards the rate falls linearly to 0 at `steps`.
        weight_decay: On matrices only.
        betas: Decay rates of AdamW's two averages.
        clip: Largest norm of the gradient; infinite for no bound.
        ema_length: Of the average of weights, relative to the run.
        seed: Of batches and noise.
        checkpoint_every: Steps between checkpoints.
        keep: Number of checkpoints that stay.
        log_every: Steps between lines of the log.
        precision: Of the loss's model: "float32", or "bfloat16" by autocast, which of a WorldModel reaches the denoiser
            alone; weights, their gradients and averages stay float32.
        compile: Whether torch.compile wraps the loss's model.
        shard: Whether weights, gradients and optimizer states are split over the processes by FSDP2.
        max_minutes: Stop, with a checkpoint, after this wall-clock time; 0 for no bound.
        tensorboard: Whether to write TensorBoard events.
    """

    out: str
    steps: int = 1000
    learning_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema_length: float = 0.1
    seed: int = 0
    checkpoint_every: int = 200
    keep: int = 2
    log_every: int = 10
    precision: str = "float32"
    compile: bool = False
    shard: bool = False
    max_minutes: float = 0.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"train.precision: must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        for name in ("steps", "checkpoint_every", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name}: must be 1 or more, got {getattr(self, name)!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"train.learning_rate: must be above 0 and finite, got {self.learning_rate!r}")
        if not self.clip > 0:
            raise ValueError(f"train.clip: must be above 0, got {self.clip!r}")
        for name in ("warmup", "weight_decay", "max_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"train.{name}: must be 0 or more and finite, got {getattr(self, name)!r}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"train.betas: must be two numbers from 0 to below 1, got {self.betas!r}")
        if not 0 < self.ema_length < LONGEST:
            raise ValueError(f"train.ema_length: must be between 0 and {LONGEST}, got {self.ema_length!r}")


# What a resumed run must have in common with its beginning, or it would not be the run that an unbroken one is.
SAME = ("seed", "steps", "learning_rate", "warmup", "weight_decay", "betas", "clip", "ema_length", "precision")
STATES = ("exp_avg", "exp_avg_sq", "step")  # that AdamW keeps of each parameter it has moved


class Trainable(Protocol):
    """What can be trained: a module whose loss has named terms."""

    def loss(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalar terms; training minimises their sum."""
        ...


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of randomness of one step, which no other step shares."""
    mixed = (seed * 1_000_003 + step) * 0x9E3779B97F4A7C15 % (1 << 63)
    return torch.Generator().manual_seed(mixed)


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Errors of the block say where they came about: in their message, or in a note where they have no plain one."""
    try:
        yield
    except Exception as error:
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (f"{error.args[0]}; {place}",)
        else:
            error.add_note(place)
        raise


class _LossModule(nn.Module):
    """Calls loss through forward, so that data-parallel wrappers see it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.model.loss(batch, generator)  # type: ignore[operator]
        return terms


class Trainer:
    """Trains a model on batches drawn by step number."""

    def __init__(
        self,
        model: nn.Module,
        batch_for: Callable[[int], Any],
        config: TrainConfig,
        callback: Callable[[Trainer, int], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Prepare a run; nothing is read or written yet.

        Args:
            model: A Trainable.
            batch_for: The batch of a number from 0, a pure function of it; process r of n takes the batches r, n + r,
                2 n + r and so on. What has a method `to` is moved to the process's device.
            config: How to train.
            callback: Called after each checkpoint, with the trainer and the number of steps done, in the main process.
            progress: Told steps done and steps in all after each step, in the main process.

        Raises:
            ValueError: For a callback that calls the whole model where its weights are split, which no process holds.
        """
        if config.shard and getattr(callback, "calls_model", False):
            raise ValueError(
                f"train.shard: must be false with a callback that calls the model, as {type(callback).__name__} does: "
                "it runs in one process, which would wait for the others for ever; got True"
            )
        self.config, self.batch_for, self.callback, self.progress = config, batch_for, callback, progress
        self.accelerator = make_accelerator(model, config.shard)
        self.writer: Any = None
        self._piece = 0.0  # seconds since 1970 at which train() was called, which tell the pieces of a run apart
        self.model = model
        decay = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
        rest = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
        groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
        self.module, self.optimizer = self.accelerator.prepare(_LossModule(model), optimizer)
        if config.compile:
            model.compile()
        self.average = PowerAverage(model, config.ema_length)
        self.step = 0

    @property
    def folder(self) -> Path:
        """Where the run's files lie."""
        return Path(self.config.out)

    def rate(self, step: int) -> float:
        """Learning rate of the step with that number from 0."""
        config = self.config
        up = min(1.0, (step + 1) / max(config.warmup, 1))
        down = 1 - max(0, step - config.warmup) / max(1, config.steps - config.warmup)
        return config.learning_rate * min(up, down)

    def train(self, resume: bool = False) -> None:
        """Run to the last step, or until max_minutes are over.

        Args:
            resume: Go on from the newest checkpoint.

        Raises:
            ValueError: Where resume finds nothing, or not this run whole, or not resuming would overwrite a run. What
                batches and loss raise keeps its kind, and names step, seed and batch.
            FloatingPointError: Where a loss term is not finite; names the term, the step and the seed.
        """
        found = checkpoints(self.folder)
        if resume and not found:
            raise ValueError(f"train.out: must hold a checkpoint to resume from, {self.folder} has none")
        if found and not resume:
            raise ValueError(f"train.out: must hold no run unless resuming, {self.folder} has {found[-1].name}")
        if resume:
            self._load(found[-1])
        # A checkpoint to pass on comes in evaluation mode, which parts of the model do not learn in.
        self.module.train()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writer = self._writer()
        self._piece, began = round(time.time(), 3), time.monotonic()
        while self.step < self.config.steps:
            terms, norm = self._one_step()
            out_of_time = self._out_of_time(began)
            last = out_of_time or self.step == self.config.steps
            if last or self.step % self.config.log_every == 0:
                self._log(terms, norm, time.monotonic() - began)
            if self.progress is not None and self.accelerator.is_main_process:
                self.progress(self.step, self.config.steps)
            if last or self.step % self.config.checkpoint_every == 0:
                self.save()
                if self.callback is not None and self.accelerator.is_main_process:
                    self.callback(self, self.step)
            if out_of_time:
                break
        self.accelerator.wait_for_everyone()
        if self.writer is not None:
            self.writer.close()

    def _out_of_time(self, began: float) -> bool:
        """Whether max_minutes are over for any process: all must stop at the same step."""
        if not self.config.max_minutes:
            return False
        over = float((time.monotonic() - began) / 60 > self.config.max_minutes)
        told: Tensor = self.accelerator.reduce(torch.tensor(over, device=self.accelerator.device), "sum")
        return bool(told > 0)

    def _one_step(self) -> tuple[dict[str, Tensor], float]:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        rank = self.accelerator.process_index
        number = self.step * self.accelerator.num_processes + rank
        generator = step_generator(config.seed + 7919 * rank, self.step)
        place = f"at step {self.step} of seed {config.seed}, batch {number}"
        half = torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
        with _placed(place), half:
            terms = self.module(self.moved(self.batch_for(number)), generator)
        for name, value in terms.items():
            if not bool(torch.isfinite(value)):
                raise FloatingPointError(f"loss.{name}: must be finite, got {float(value.detach())} {place}")
        self.accelerator.backward(torch.stack(list(terms.values())).sum())
        norm = float(whole(self.accelerator.clip_grad_norm_(self.module.parameters(), config.clip)))
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"gradient: must be finite, its norm is {norm} {place}; "
                f"terms { ({k: round(float(v), 6) for k, v in terms.items()}) }"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.model, self.step)
        return terms, norm

    def moved(self, batch: Any) -> Any:
        """A batch on the process's device, where it has a method `to`."""
        return batch.to(self.accelerator.device) if hasattr(batch, "to") else batch

    def _writer(self) -> Any:
        if not (self.config.tensorboard and self.accelerator.is_main_process):
            return None
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder / "tensorboard"))

    def _log(self, terms: dict[str, Tensor], norm: float, seconds: float) -> None:
        """Write the terms, their mean over all processes, to log.jsonl and TensorBoard."""
        means = self.accelerator.reduce(torch.stack([value.detach() for value in terms.values()]), "mean")
        if not self.accelerator.is_main_process:
            return
        values = dict(zip(terms, means.tolist(), strict=True))
        line = {
            "step": self.step,
            **values,
            "norm": norm,
            "rate": self.rate(self.step - 1),
            "seconds": round(seconds, 2),
            "began": self._piece,
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"loss/{name}", value, self.step)

    def show(self, name: str, video: NDArray[np.uint8], fps: float) -> None:
        """Put (T, H, W, 3) RGB frames on TensorBoard as a moving picture, where it is on."""
        if self.writer is not None:
            add_video(self.writer, name, video, fps, self.step)

    def save(self) -> None:
        """Write a checkpoint of the present step; all processes must call this, the main one writes."""
        state: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{name}//{key}"] = torch.as_tensor(value)
        files = {"model": self.model.state_dict(), "average": self.average.weights, "optimizer": state}
        main = self.accelerator.is_main_process
        tensors = {file: gather(values, main) for file, values in files.items()}
        if not main:
            return
        meta = {
            "config": dataclasses.asdict(self.config),
            # What no loss has reached yet, of which the optimizer keeps nothing.
            "unmoved": [name for name, p in self._trained().items() if not self.optimizer.state.get(p)],
            "processes": self.accelerator.num_processes,
            "threads": torch.get_num_threads(),
        }
        save_checkpoint(self.folder, self.step, tensors, meta, self.config.keep)

    def _load(self, path: Path) -> None:
        tensors, meta = load_checkpoint(path)
        # A checkpoint that does not tell its precision was written when there was one.
        asked = {"precision": PRECISIONS[0]} | meta["config"]
        for key in SAME:
            # Through JSON, which makes a list of a tuple.
            stored, now = asked.get(key), json.loads(json.dumps(getattr(self.config, key)))
            if stored != now:
                raise ValueError(f"train.{key}: must be {stored!r} as in {path}, got {now!r}")
        processes = self.accelerator.num_processes
        # A checkpoint that does not tell counts as written by as many.
        if meta.get("processes", processes) != processes:
            raise ValueError(f"processes: must be {meta['processes']} as in {path}, got {processes}")
        like = self.model.state_dict()
        for file in ("model", "average"):
            check_tensors(tensors[file], like, f"{path / file}.safetensors", "as the model has it")
        states = self._states(tensors, meta.get("unmoved"))
        check_tensors(tensors["optimizer"], states, f"{path / 'optimizer'}.safetensors", "as the optimizer keeps it")
        weights, average = (
            {name: spread(value, like.get(name, value)) for name, value in tensors[file].items()}
            for file in ("model", "average")
        )
        self.model.load_state_dict(weights, strict=True)
        self.average.weights = average
        parameters = dict(self.model.named_parameters())
        for full, value in tensors["optimizer"].items():
            name, key = full.split("//")
            parameter = parameters[name]
            # The number of steps stays on the CPU, where AdamW keeps it.
            self.optimizer.state[parameter][key] = spread(value, parameter) if value.dim() else value
        self.step = int(meta["step"])

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def _states(self, found: Mapping[str, Mapping[str, Tensor]], unmoved: list[str] | None) -> dict[str, Tensor]:
        """Tensors of the shapes that a checkpoint's optimizer must hold.

        A checkpoint of before they told what was unmoved may lack the states of what equals its average, as what never
        moved does, but not those of all.
        """
        trained = self._trained()
        if unmoved is None:
            started = {name.partition("//")[0] for name in found["optimizer"]}
            still = [name for name in trained if torch.equal(found["model"][name], found["average"][name])]
            unmoved = [name for name in still if name not in started] if started else []
        moved = {name: parameter for name, parameter in trained.items() if name not in unmoved}
        number = torch.zeros(())
        return {f"{name}//{key}": number if key == "step" else p for name, p in moved.items() for key in STATES}

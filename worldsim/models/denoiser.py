"""What a denoiser is, and check_denoiser, which tells people who bring their own what theirs lacks."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from worldsim.models.conditioning import SETUP_FEATURES, Conditioning
from worldsim.models.config import WorldModelConfig
from worldsim.models.tokenizer import PixelTokenizer, VideoAutoencoder


class Denoiser(Protocol):
    """What WorldModel pairs with the prior: a torch module that maps (z, t, condition) to a clean estimate.

    Axis legend: B batch, C channels, T H W latent frames, rows and columns; T' = T / dit.patch[0] times; S Setup
    tokens; W text tokens. Without an autoencoder latent frames are frames, and C is 3.

    What the condition leaves out (None) was not told; a denoiser that cannot take text or actions names them in
    `refuses`, a tuple of strings, and WorldModel then refuses configs that have them. With the config's `state` above 0
    it needs a method `run` of the same arguments that gives a DiTOutput.
    """

    def __call__(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """Predict the clean video.

        Args:
            z: (B, C, T, H, W) the video at noise times t, z = (1 - t) x + t e; context frames are clean.
            t: (B, T') noise times, 0 clean to 1 noise; 0 on context frames.
            condition: setup (B, S, 32), hint (B, C, T, H, W) with hint_given (B,), text (B, W, dit.text_width) and
                actions (B, T, dit.action_width), each where the config has it and it is known.

        Returns:
            (B, C, T, H, W) clean estimate x, finite, of z's type; z and t stay as they are.
        """
        ...


def check_fits(denoiser: Any, config: WorldModelConfig) -> None:
    """Refuse a denoiser that says of itself that it cannot do what a config asks for.

    Raises:
        ValueError: Naming the config's field.
    """
    for name in getattr(denoiser, "refuses", ()):
        width = getattr(config.dit, f"{name.removesuffix('s')}_width")
        if width:
            raise ValueError(
                f"dit.{name.removesuffix('s')}_width: must be 0, {type(denoiser).__name__} takes no {name}, got {width}"
            )
    if config.state > 0 and not hasattr(denoiser, "run"):
        raise ValueError(
            f"world_model.state: must be 0 for a denoiser without run(), which gives features, got {config.state}"
        )


def check_denoiser(denoiser: Any, config: WorldModelConfig, size: tuple[int, int] = (32, 32)) -> None:
    """Call a denoiser once, with a tiny batch and all that the config has it told, and hold it to the protocol.

    Checks that it is a torch module that takes the call; shape, type and finiteness of the estimate; that it leaves
    what it was given as it was; and that a gradient reaches what it has to train.

    Args:
        denoiser: Any object; weights, modes and random states stay as they are.
        config: Of the WorldModel that it is for.
        size: Rows and columns of the pictures.

    Raises:
        ValueError: Saying what is wrong, with what was expected and what was got.
    """
    if not isinstance(denoiser, nn.Module):
        raise ValueError(f"denoiser: must be a torch module, got {type(denoiser).__name__}")
    check_fits(denoiser, config)
    held = next(denoiser.parameters(), torch.zeros(0))
    z, t, condition = (_to(value, held.device) for value in _tiny(config, size))
    before = z.clone(), t.clone()
    told = f"z {tuple(z.shape)}, t {tuple(t.shape)} and {_shapes(condition)}"
    modes = [(module, module.training) for module in denoiser.modules()]
    try:
        with torch.random.fork_rng(), torch.enable_grad():
            estimate = denoiser.eval()(z, t, condition)
    except Exception as error:
        raise ValueError(
            f"denoiser: must take (z, t, condition) with {told}; it raised {type(error).__name__}: {error}"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(estimate, Tensor):
        raise ValueError(f"denoiser: must give a tensor, the clean estimate, got {type(estimate).__name__}")
    if estimate.shape != z.shape or estimate.dtype != z.dtype:
        raise ValueError(
            f"denoiser: must give a clean estimate of z's shape {tuple(z.shape)} and type {z.dtype}, "
            f"got {tuple(estimate.shape)} and {estimate.dtype}"
        )
    if not torch.isfinite(estimate).all():
        raise ValueError("denoiser: must give a finite estimate, got NaN or infinity")
    for name, value, kept in (("z", z, before[0]), ("t", t, before[1])):
        if not torch.equal(value, kept):
            raise ValueError(f"denoiser: must leave {name} as it is, changed it in place")
    trained = [name for name, parameter in denoiser.named_parameters() if parameter.requires_grad]
    if trained and not estimate.requires_grad:
        raise ValueError(
            f"denoiser: must pass gradients on to its {len(trained)} trainable parameters, such as {trained[0]}; "
            "its estimate has none"
        )


def _tiny(config: WorldModelConfig, size: tuple[int, int]) -> tuple[Tensor, Tensor, Conditioning]:
    """Two videos of the shortest length above the longest context, at noise time 1/2 after it."""
    packing, dit, known = config.packing, config.dit, max(config.context_lengths)
    frames, held = packing.latents(packing.pad(known + 1)), packing.latents(known)
    space = (VideoAutoencoder if config.tokenizer == "autoencoder" else PixelTokenizer).space
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator)

    place = (frames, size[0] // space, size[1] // space)
    t = torch.full((2, frames // packing.tubelet), 0.5)
    t[:, : held // packing.tubelet] = 0
    condition = Conditioning(
        setup=noise(3, SETUP_FEATURES) if dit.setup_features else None,
        hint=noise(dit.hint_channels, *place) if config.hint else None,
        hint_given=torch.ones(2) if config.hint else None,
        text=noise(4, dit.text_width) if dit.text_width else None,
        actions=noise(frames, dit.action_width) if dit.action_width else None,
    )
    return noise(dit.channels, *place), t, condition


def _to(value: Any, device: torch.device) -> Any:
    return value.map(lambda x: x.to(device)) if isinstance(value, Conditioning) else value.to(device)


def _shapes(condition: Conditioning) -> str:
    parts = {name: value for name, value in vars(condition).items() if value is not None}
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in parts.items()) or "an empty condition"

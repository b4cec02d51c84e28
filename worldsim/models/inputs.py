"""What users hand to a model, checked where it enters: context, Setups, text, actions, laws, clips to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldsim.data.clip import Clip, to_float
from worldsim.models.config import WorldModelConfig
from worldsim.models.world import World
from worldsim.physics import LawParameters
from worldsim.physics.prior.matter import over_bodies
from worldsim.scene import Law, Scene, Setup

FPS_TOLERANCE = 1e-3  # frames a second, that clips to learn from may be off, as containers write rates


@dataclass(frozen=True)
class Given:
    """Context and Setups in the form that models take.

    Attributes:
        context: (B, 3, K, H, W) in [-1, 1], K one of the lengths that the model is trained for.
        setups: One a video; empty where none is given.
        single: Whether one video of uint8 pictures came in, or one Setup alone, so that one video goes out.
    """

    context: Tensor
    setups: tuple[Setup, ...]
    single: bool


def whole(field: str, value: Any) -> int:
    """A whole number, of Python or numpy, as an int.

    Raises:
        ValueError: For anything else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{field}: must be a whole number, got {value!r}")
    return int(value)


def take_in(
    context: Any,
    setup: Setup | Scene | Sequence[Setup | Scene] | None,
    lengths: Sequence[int],
    fps: float,
    device: torch.device | str | None = None,
) -> Given:
    """Accept one video of uint8 pictures with its Setup, or a batch of float tensors with one Setup each.

    Of more frames than the model is trained for, the last ones are kept; of a Scene its Setup, which withholds states.

    Args:
        context: (K, H, W, 3) uint8 array, or (B, 3, K, H, W) tensor in [-1, 1]; None for no frames of the size that
            the Setups' cameras have.
        setup: One, one a video, or None.
        lengths: Numbers of context frames that the model is trained for.
        fps: Frames a second that the model is trained for.
        device: Where the model is; the context is brought there, in single precision. None leaves it where it is.

    Raises:
        ValueError: Where shape, type, size or numbers are not as above: names the field.
    """
    setups = _setups(setup, fps)
    alone = context is None and isinstance(setup, Setup | Scene)
    single = alone or (context is not None and not isinstance(context, Tensor))
    if context is None:
        video = _nothing(setups, lengths)
    else:
        video = _from_pictures(context) if single else _from_tensor(context)
    video = _last(video.to(device=device, dtype=torch.float32), lengths)
    if setup is not None and len(setups) != len(video):
        raise ValueError(f"setup: must be one a video, {len(video)} of them, got {len(setups)}")
    for one in setups:
        camera, size = one.camera, tuple(video.shape[-2:])
        if (camera.height, camera.width) != size:
            raise ValueError(
                f"context: must have the size of its setup's camera, {camera.height} x {camera.width}, "
                f"got {size[0]} x {size[1]}"
            )
    return Given(video, setups, single)


def _setups(setup: Any, fps: float) -> tuple[Setup, ...]:
    if setup is None:
        return ()
    try:
        told = (setup,) if isinstance(setup, Setup | Scene) else tuple(setup)
    except TypeError:
        raise ValueError(
            f"setup: must be a Setup, as scene.setup() makes, one a video, or None, got {type(setup).__name__}"
        ) from None
    setups = tuple(one.setup() if isinstance(one, Scene) else one for one in told)
    for i, one in enumerate(setups):
        if not isinstance(one, Setup):
            raise ValueError(f"setup[{i}]: must be a Setup, as scene.setup() makes, got {type(one).__name__}")
        if abs(one.fps - fps) > 1e-6:
            raise ValueError(f"setup[{i}].fps: must be {fps:g}, which the model is trained for, got {one.fps:g}")
    return setups


def _nothing(setups: tuple[Setup, ...], lengths: Sequence[int]) -> Tensor:
    """(B, 3, 0, H, W): no frames, of the size of the Setups' cameras."""
    if 0 not in lengths:
        raise ValueError(f"context: must have one of {tuple(lengths)} frames, got None")
    if not setups:
        raise ValueError("setup: must be given where context is None, its camera tells the size; got none")
    camera = setups[0].camera
    return torch.zeros(len(setups), 3, 0, camera.height, camera.width)


def _last(video: Tensor, lengths: Sequence[int]) -> Tensor:
    """The last frames, as many as the model is trained for; with frames given, none of them would be another video."""
    found = video.shape[2]
    if found and not max(lengths):
        raise ValueError(f"context: must be None or of 0 frames, the model only opens videos, got {found}")
    usable = [length for length in lengths if length <= found and (length or not found)]
    if not usable:
        raise ValueError(
            f"context: must have one of {tuple(lengths)} frames, got {found}; of more frames, the last ones are used"
        )
    return video[:, :, found - max(usable) :]


def _from_pictures(video: Any) -> Tensor:
    rule = "context: must be uint8 of shape (K, H, W, 3), or a float tensor (B, 3, K, H, W) in [-1, 1], got"
    try:
        pictures = np.asarray(video)
    except ValueError as error:  # of pictures that differ in size
        raise ValueError(f"{rule} what is no array: {error}") from None
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ValueError(f"{rule} {pictures.dtype} {pictures.shape}")
    return to_float(pictures)[None]


def _from_tensor(video: Tensor) -> Tensor:
    if not video.is_floating_point() or video.dim() != 5 or video.shape[1] != 3:
        raise ValueError(
            "context: must be a float tensor of shape (B, 3, K, H, W) in [-1, 1], or uint8 pictures (K, H, W, 3), "
            f"got {video.dtype} {tuple(video.shape)}"
        )
    if not len(video):
        raise ValueError(f"context: must hold one video or more, got {tuple(video.shape)}")
    if not torch.isfinite(video).all():
        raise ValueError("context: must be finite, holds NaN or infinity")
    if video.numel() and float(video.abs().max()) > 1.001:
        low, high = float(video.min()), float(video.max())
        raise ValueError(f"context: must lie in [-1, 1], got {low:.4g} to {high:.4g}")
    return video


def take_texts(text: Any, videos: int) -> list[str] | None:
    """One text a video of one, or of one a video.

    Raises:
        ValueError: For another count, or what is no text.
    """
    if text is None:
        return None
    try:
        texts = [text] if isinstance(text, str) else list(text)
    except TypeError:
        raise ValueError(f"text: must be a string, or one a video, {videos} of them, got {text!r}") from None
    if len(texts) != videos:
        raise ValueError(f"text: must be one a video, {videos} of them, got {len(texts)}")
    for i, one in enumerate(texts):
        if not isinstance(one, str):
            raise ValueError(f"text[{i}]: must be a string, got {one!r}")
    return texts


def take_actions(actions: Any, given: Given, num_frames: int, width: int) -> Tensor | None:
    """(B, K + num_frames, A) single-precision actions where the context is.

    Args:
        actions: Numbers of that shape, of torch or numpy, or without B for one video of pictures.
        given: The context.
        num_frames: New frames.
        width: A that the model is built with, 0 for a model without actions.

    Raises:
        ValueError: Where they are missing for a model with actions, misshaped or not finite.
    """
    videos, known = len(given.context), given.context.shape[2]
    if actions is None:
        if width:
            raise ValueError(
                f"actions: must be given, (B, T, A) = {(videos, known + num_frames, width)}, to a model that was "
                "trained with them, got None"
            )
        return None
    try:
        told = torch.as_tensor(actions)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"actions: must be numbers of shape (B, T, A), got what is no array: {error}") from None
    if told.is_complex() or told.dtype == torch.bool:
        raise ValueError(f"actions: must be real numbers, got {told.dtype}")
    if told.dim() == 2 and given.single:
        told = told[None]
    if told.dim() != 3 or told.shape[:2] != (videos, known + num_frames):
        raise ValueError(
            f"actions: must have shape (B, T, A) with B = {videos} and a row for each of the {known} context and "
            f"{num_frames} new frames, {known + num_frames} in all, got {tuple(told.shape)}"
        )
    told = told.to(device=given.context.device, dtype=torch.float32)
    if not torch.isfinite(told).all():
        raise ValueError("actions: must be finite, holds NaN or infinity")
    return told


def take_law(law: Any, world: World | None) -> LawParameters | None:
    """LawParameters of a batch's worlds; the plain Law of a scene is that of all of them.

    Raises:
        ValueError: Without Setups, for anything else than a law, and for figures that do not fit the worlds.
    """
    if law is None:
        return None
    if world is None:
        raise ValueError("law: must be left out without a Setup, whose law it takes the place of")
    batch, bodies = len(world.setups), world.bodies
    if isinstance(law, Law):
        drag = torch.full((batch,), law.drag) if law.drag else None
        return LawParameters(torch.tensor([law.gravity] * batch), drag).to(world.background.device)
    if not isinstance(law, LawParameters):
        raise ValueError(f"law: must be LawParameters, or the Law of a scene, got {type(law).__name__}")
    for name in ("gravity", "drag", "friction", "restitution", "mass", "friction_scale"):
        figure = getattr(law, name)
        if figure is None and name != "gravity":
            continue
        if not isinstance(figure, Tensor):
            raise ValueError(f"law.{name}: must be a tensor, got {figure!r}")
        if name == "gravity" and (not figure.dim() or figure.shape[-1] != 3):
            raise ValueError(f"law.gravity: must have 3 components, got shape {tuple(figure.shape)}")
        over_bodies(figure, batch, bodies.num_bodies, int(name == "gravity"), name)  # refuses other shapes by name
        if not torch.isfinite(figure).all():
            raise ValueError(f"law.{name}: must be finite, holds NaN or infinity")
    return law


def check_clip(clip: Clip, config: WorldModelConfig) -> None:
    """Refuse clips that a model cannot learn from.

    Raises:
        ValueError: Where rate or counts of frames are not the model's, or a video is not finite.
    """
    packing, known, frames = config.packing, clip.num_context, clip.num_frames
    if known not in config.context_lengths:
        raise ValueError(f"clip.num_context: must be one of {config.context_lengths}, got {known}")
    if not packing.fits(frames) or frames <= known:
        step = packing.time * packing.tubelet
        over = step - packing.lead if packing.lead else 0
        count, rest = divmod(frames - over, step)
        raise ValueError(
            f"clip.num_frames: must be among {packing.rule}, above the {known} context frames, "
            f"got {frames} = {step} x {count} + {rest + over}"
        )
    if abs(clip.fps - config.fps) > FPS_TOLERANCE:
        raise ValueError(f"clip.fps: must be {config.fps:g}, which the model is for, got {clip.fps:g}")
    if not torch.isfinite(clip.video).all():
        bad = int((~torch.isfinite(clip.video)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"clip.video[{bad}]: must be finite, holds NaN or infinity")

"""diffusers pipelines as generators: image-to-video continues the last context frame, text-to-video sees no frame.

diffusers is imported only when a pipeline is asked for. Pictures are enlarged to the pipeline's own size and its answer
is brought back to the suite's; the figures then hold what the resizing does to small bodies as well.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from PIL import Image

from worldsim.benchmarks.suite.generator import UInt8, check_arguments
from worldsim.scene import Setup


def load_pipeline(name_or_folder: str, arguments: dict[str, Any]) -> PipelineGenerator:
    """A pipeline from a folder or by its name.

    Raises:
        ImportError: Without diffusers, with the line that installs it.
        ValueError: For arguments that PipelineGenerator does not take.
    """
    check_arguments(PipelineGenerator, arguments, name_or_folder)
    try:
        from diffusers import DiffusionPipeline
    except ImportError as error:
        raise ImportError("model: diffusers:... needs diffusers: pip install diffusers transformers") from error
    pipeline = DiffusionPipeline.from_pretrained(name_or_folder)
    return PipelineGenerator(pipeline, name=name_or_folder.rstrip("/").split("/")[-1], **arguments)


class PipelineGenerator:
    """An image-to-video or text-to-video pipeline.

    It is given what its __call__ takes of image, prompt, height, width, num_frames, frame_rate, fps and generator.
    """

    def __init__(
        self,
        pipeline: Any,
        name: str = "pipeline",
        size: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> None:
        """Take a pipeline.

        Args:
            pipeline: Whose __call__ takes num_frames.
            name: In the table.
            size: Height of its pictures, the suite's own where left out; brought up to what the pipeline can divide.
            num_inference_steps: Of its sampler; its default where left out.
            guidance_scale: Its default where left out.
        """
        self.name = name
        self._pipeline = pipeline
        self._taken = set(inspect.signature(pipeline.__call__).parameters)
        if "num_frames" not in self._taken:
            raise ValueError(f"model: must be a video pipeline, {type(pipeline).__name__} takes no num_frames")
        self._size = size
        chosen = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        self._options = {key: value for key, value in chosen.items() if value is not None}
        for key in self._options:
            if key not in self._taken:
                raise ValueError(f"model_args.{key}: must be left out, {type(pipeline).__name__} does not take it")
        if hasattr(pipeline, "set_progress_bar_config"):
            pipeline.set_progress_bar_config(disable=True)

    @property
    def continues(self) -> bool:
        """Whether the pipeline is shown a frame."""
        return "image" in self._taken

    def generate(self, context: UInt8, setup: Setup, num_frames: int, fps: float, seed: int, text: str) -> UInt8:
        """Call the pipeline; an image-to-video answer starts with the last context frame, which is dropped."""
        import torch

        height, width = context.shape[1:3]
        large = self._fitted(height, width)
        skipped = 1 if self.continues else 0
        asked = self._frames(num_frames + skipped)
        given: dict[str, Any] = {
            "image": Image.fromarray(context[-1]).resize(large[::-1], Image.Resampling.BICUBIC),
            "prompt": text,
            "height": large[0],
            "width": large[1],
            "num_frames": asked,
            "frame_rate": fps,
            "fps": round(fps),
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        }
        given = {key: value for key, value in given.items() if key in self._taken}
        with torch.no_grad():
            made = np.asarray(self._pipeline(**given, **self._options).frames[0])
        made = made[skipped : skipped + num_frames]
        frames = np.round(np.clip(made, 0, 1) * 255).astype(np.uint8)
        small = [Image.fromarray(frame).resize((width, height), Image.Resampling.BOX) for frame in frames]
        return np.stack([np.asarray(frame) for frame in small])

    def _fitted(self, height: int, width: int) -> tuple[int, int]:
        """The pipeline's size: at least the one asked for, and a multiple of its latent's patch."""
        scale = (self._size or height) / height
        step = self._factor("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor", default=8)
        step *= self._patch()
        return tuple(-(-round(side * scale) // step) * step for side in (height, width))  # type: ignore[return-value]

    def _frames(self, least: int) -> int:
        """At least as many frames, 1 more than a multiple of the latent's stride in time where it has one."""
        stride = self._factor("vae_scale_factor_temporal", "vae_temporal_compression_ratio", default=1)
        return -(-(least - 1) // stride) * stride + 1 if stride > 1 else least

    def _factor(self, *names: str, default: int) -> int:
        return next((int(getattr(self._pipeline, n)) for n in names if getattr(self._pipeline, n, None)), default)

    def _patch(self) -> int:
        config = getattr(getattr(self._pipeline, "transformer", None), "config", None)
        patch = getattr(config, "patch_size", 1)
        return int(patch[-1] if isinstance(patch, list | tuple) else patch)

"""Sample videos on TensorBoard, as GIFs: its own add_video wants moviepy, which nothing else here needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.data.gif import encode_gif


def add_video(writer: Any, name: str, video: NDArray[np.uint8], fps: float, step: int) -> None:
    """Write frames to a torch.utils.tensorboard.SummaryWriter as an image summary, which TensorBoard plays."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width = video.shape[1:3]
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encode_gif(video, fps))
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

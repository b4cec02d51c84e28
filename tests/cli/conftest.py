"""A video to feed to the commands."""

import numpy as np
import pytest


@pytest.fixture
def toy_video():
    """A function of (frames, pixels): a red square that slides over white."""

    def make(frames, pixels):
        video = np.full((frames, pixels, pixels, 3), 255, np.uint8)
        for t in range(frames):
            video[t, pixels // 4 : pixels // 2, t % (pixels // 2) : t % (pixels // 2) + 8] = (200, 30, 30)
        return video

    return make

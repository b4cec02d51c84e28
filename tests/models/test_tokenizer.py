"""Tokenizers: the Haar transform is exact, nothing looks ahead, chunks equal the whole, and the autoencoder learns."""

import pytest
import torch

from worldsim.models.tokenizer import AutoencoderConfig, PixelTokenizer, VideoAutoencoder
from worldsim.models.tokenizer.haar import merge, split


def awake():
    torch.manual_seed(0)
    model = VideoAutoencoder(AutoencoderConfig(width=16, latent=8, blocks=1)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.1)
    return model


def video(frames, size=16):
    return torch.randn(1, 3, frames, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("frames", "first"), [(9, True), (8, False), (1, True)])
def test_haar_is_exact_and_its_first_band_is_the_mean(frames, first):
    x = video(frames)
    bands = split(x, first)
    torch.testing.assert_close(merge(bands, first), x)
    blocks = x[:, :, -2:] if frames > 1 else x
    mean = blocks.unflatten(3, (8, 2)).unflatten(5, (8, 2)).mean((2, 4, 6))
    torch.testing.assert_close(bands[:, ::8, -1], mean)


def test_shapes_and_compression():
    model = VideoAutoencoder(AutoencoderConfig(width=16, latent=16))
    latent = model.encode(torch.zeros(2, 3, 17, 64, 48))
    assert latent.shape == (2, 16, 5, 8, 6)
    assert model.decode(latent).shape == (2, 3, 17, 64, 48)
    assert model.compression == 48


def test_the_first_frame_is_an_image_and_nothing_looks_ahead():
    model, x = awake(), video(9)
    with torch.no_grad():
        latent = model.encode(x)
        torch.testing.assert_close(model.encode(x[:, :, :1]), latent[:, :, :1])
        torch.testing.assert_close(model.decode(latent[:, :, :1]), model.decode(latent)[:, :, :1])
        changed = x.clone()
        changed[:, :, 5:] = 0
        torch.testing.assert_close(model.encode(changed)[:, :, :2], latent[:, :, :2])
        assert not torch.allclose(model.encode(changed)[:, :, 2:], latent[:, :, 2:])


def test_chunks_equal_the_whole():
    model, x = awake(), video(21)
    with torch.no_grad():
        whole = model.encode(x)
        parts = list(model.encode_chunks(iter([x[:, :, :5], x[:, :, 5:9], x[:, :, 9:21]])))
        torch.testing.assert_close(torch.cat(parts, dim=2), whole)
        shown = model.decode(whole)
        pieces = list(model.decode_chunks(iter([whole[:, :, :1], whole[:, :, 1:4], whole[:, :, 4:]])))
        torch.testing.assert_close(torch.cat(pieces, dim=2), shown)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((8, 16, 16), r"4n \+ 1 frames .* got 8 frames of 16 x 16; 8 = 4 x 1 \+ 4"), ((9, 16, 20), "multiples of 8 rows")],
)
def test_sizes_that_do_not_fit_are_refused(shape, words):
    with pytest.raises(ValueError, match=words):
        awake().encode(torch.zeros(1, 3, *shape, dtype=torch.float64))


def test_it_learns_a_moving_square():
    torch.manual_seed(0)
    model = VideoAutoencoder(AutoencoderConfig(width=24, latent=8, blocks=1))
    clips = -torch.ones(4, 3, 5, 16, 16)
    for i in range(4):
        for t in range(5):
            clips[i, i % 3, t, 2 + i : 8 + i, 2 + t : 8 + t] = 1
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(250):
        loss = torch.stack(list(model.loss(clips, generator).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (model.decode(model.encode(clips)) - clips).square().mean()
    assert 10 * torch.log10(4 / error) > 22  # dB


def test_pixels_are_their_own_latent():
    x = torch.randn(1, 3, 4, 8, 8)
    assert PixelTokenizer().decode(PixelTokenizer().encode(x)) is x

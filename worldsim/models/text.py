"""Text for the denoiser: a protocol, and a small encoder over the caption grammar that is trained with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor, nn

from worldsim.captions.refer import COLOURS, NOUNS, POLYGONS
from worldsim.captions.templates import DIRECTIONS, FIRST, LAST, NEXT, TEMPLATES

_PIECE = re.compile(r"[a-z]+|\S")
# Words of referring expressions and lists that stand in no template.
_MORE = (
    "a an and the large small left right leftmost rightmost second third fourth fifth of on "
    "wall floor ramp incline table hoop room arm target walker board beam stand stop pendulum"
)


class TextEncoder(Protocol):
    """What turns texts into tokens for the denoiser: ours, or one around a T5 or CLIP.

    Attributes:
        width: Of a token.
    """

    width: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(B, W, width) tokens, zero where a text is shorter than the longest; an empty text is all zeros."""
        ...


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Number of each symbol: 0 pads, 1 to 256 are bytes, then words and signs of the caption grammar."""
    templates = " ".join(re.sub(r"\{\w\}", " ", " ".join(options)) for options in TEMPLATES.values())
    others = " ".join([*DIRECTIONS, *FIRST, *NEXT, *LAST, *COLOURS, *NOUNS.values(), *POLYGONS.values(), "in view"])
    words = sorted(set(_PIECE.findall(f"{templates} {others} {_MORE} 0123456789 . ,".lower())))
    return {word: 257 + i for i, word in enumerate(words)}


def tokenise(text: str) -> list[int]:
    """Symbols of a text: words of the grammar whole, digits one by one, all else as UTF-8 bytes."""
    known = vocabulary()
    symbols: list[int] = []
    for piece in _PIECE.findall(text.lower()):
        symbols += [known[piece]] if piece in known else [1 + byte for byte in piece.encode()]
    return symbols


def unknown_words(text: str) -> list[str]:
    """Words that are not of the grammar: they are spelled in bytes, and a model has hardly seen them."""
    return [piece for piece in _PIECE.findall(text.lower()) if piece not in vocabulary()]


class GrammarEncoder(nn.Module):
    """A small transformer over the closed vocabulary of the captions, with bytes for what lies outside."""

    def __init__(self, width: int = 96, depth: int = 2, heads: int = 4, max_length: int = 256) -> None:
        """Prepare for texts of at most max_length symbols."""
        super().__init__()
        self.width, self.max_length = width, max_length
        self.embed = nn.Embedding(257 + len(vocabulary()), width, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(max_length, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """See TextEncoder.

        Raises:
            ValueError: Where a text has more symbols than max_length.
        """
        rows = [tokenise(text) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > self.max_length:
                raise ValueError(
                    f"text: must have at most {self.max_length} symbols, got {len(row)} in {text[:60]!r}..."
                )
        longest = max(1, *(len(row) for row in rows))
        device = self.position.device
        symbols = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        pad = symbols == 0
        # A row of nothing but padding would leave attention without a key.
        attended = pad & ~pad.all(1, keepdim=True)
        tokens: Tensor = self.blocks(self.embed(symbols) + self.position[:longest], src_key_padding_mask=attended)
        return tokens.masked_fill(pad[..., None], 0.0)

"""A T5, UMT5 or CLIP text encoder from a local folder as the TextEncoder of a WorldModel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.scene.checks import require


class PretrainedTextEncoder(nn.Module):
    """A frozen text encoder of transformers, with a linear map to the denoiser's width that is trained.

    The folder is one that save_pretrained of transformers wrote for encoder and tokenizer; only safetensors are read,
    nothing is fetched, and no code of the folder is run. The encoder's weights are not among the module's: a checkpoint
    holds the map alone, so hand the encoder over again where one is loaded.

    Args:
        folder: Of the encoder and its tokenizer.
        width: Of a token, the config's dit.text_width.
        max_length: Symbols to which longer texts are refused.

    Raises:
        ValueError: Where the folder does not hold both.
        ImportError: Where transformers is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], width: int, max_length: int = 256) -> None:
        super().__init__()
        from transformers import AutoModelForTextEncoding, AutoTokenizer

        rule = "a local folder with a text encoder and its tokenizer"
        require("folder", rule, Path(folder).is_dir(), str(folder))
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
            encoder = AutoModelForTextEncoding.from_pretrained(str(folder), use_safetensors=True, **options)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"folder: must be {rule}, got {str(folder)!r}: {error}") from error
        # In a list, so that the encoder is neither trained nor saved with the model.
        self._held = [encoder.eval().requires_grad_(False)]
        self.width, self.max_length = width, max_length
        self.project = nn.Linear(encoder.config.hidden_size, width)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(B, W, width) tokens, zero where a text is shorter than the longest; an empty text is all zeros.

        Raises:
            ValueError: Where a text has more than max_length symbols.
        """
        told = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        device = self.project.weight.device
        symbols, given = told["input_ids"].to(device), told["attention_mask"].to(device)
        if symbols.shape[1] > self.max_length:
            raise ValueError(f"text: must have at most {self.max_length} symbols, got {symbols.shape[1]}")
        encoder = self._held[0] = self._held[0].to(device)
        with torch.no_grad():
            hidden = encoder(input_ids=symbols, attention_mask=given).last_hidden_state
        empty = torch.tensor([not text.strip() for text in texts], device=device)
        tokens: Tensor = self.project(hidden.to(self.project.weight))
        return tokens.masked_fill(((given == 0) | empty[:, None])[..., None], 0.0)

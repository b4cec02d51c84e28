"""T5 and CLIP encoders in local folders, tiny ones built from config, take the place of the grammar's encoder."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from test_world_model import rollout

from worldsim.data.clip import collate
from worldsim.models import DiTConfig, WorldModel, WorldModelConfig
from worldsim.models.adapters import PretrainedTextEncoder

transformers = pytest.importorskip("transformers", reason="pip install 'worldsim[test]'")
tokenizers = pytest.importorskip("tokenizers")

CONFIG = WorldModelConfig(dit=DiTConfig(width=48, depth=1, heads=2, patch=(2, 8, 8), text_width=24), clip_frames=12)
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "ball", "falls"]


@pytest.fixture(scope="module", params=["t5", "clip"])
def folder(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(out)
    torch.manual_seed(0)
    if request.param == "t5":
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        model = transformers.T5EncoderModel(transformers.T5Config(vocab_size=len(WORDS), **sizes))
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        symbols = {"vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
        model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**symbols, **sizes))
    model.save_pretrained(out)
    return out


def test_its_tokens_are_the_encoder_s(folder):
    encoder = PretrainedTextEncoder(folder, 24)
    texts = ["a red ball falls", "a ball", ""]
    tokens = encoder(texts)
    assert tokens.shape == (3, 5, 24)
    assert tokens[2].abs().max() == 0
    assert tokens[1, 3:].abs().max() == 0
    own = transformers.AutoModelForTextEncoding.from_pretrained(folder).eval()
    alone = own(input_ids=torch.tensor([[3, 4, 6, 7, 1]])).last_hidden_state
    torch.testing.assert_close(tokens[0], encoder.project(alone)[0])
    # What fills up a batch changes nothing.
    torch.testing.assert_close(encoder(["a ball"])[0], tokens[1, :3])


def test_it_trains_its_map_alone_and_comes_back_with_the_folder(folder, tmp_path):
    torch.manual_seed(1)
    model = WorldModel(CONFIG, text=PretrainedTextEncoder(folder, 24))
    assert [name for name, _ in model.named_parameters() if name.startswith("text")] == [
        "text.project.weight",
        "text.project.bias",
    ]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    clip = collate([rollout(seed) for seed in range(2)], num_context=4)
    clip = replace(clip, captions=("a red ball falls", "a blue ball"))
    sum(model.loss(clip, torch.Generator().manual_seed(0)).values()).backward()
    assert model.text.project.weight.grad.abs().sum() > 0

    def made(text, model=model):
        return model.eval().generate(clip.video[:, :, :4], clip.setups, 8, text=[text] * 2, steps=1).video

    assert not torch.equal(made("a ball"), made("red"))
    model.save_pretrained(tmp_path / "mine")
    assert not any("encoder" in name for name in load_file(tmp_path / "mine" / "model.safetensors"))
    again = WorldModel.from_pretrained(tmp_path / "mine", text=PretrainedTextEncoder(folder, 24))
    assert torch.equal(made("red", again), made("red"))
    with pytest.raises(ValueError, match=r"must hold text\."):
        WorldModel.from_pretrained(tmp_path / "mine")


def test_what_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"text: must be of width 24 as dit\.text_width, got one of 16"):
        WorldModel(CONFIG, text=PretrainedTextEncoder(folder, 16))
    with pytest.raises(ValueError, match="folder: must be a local folder"):
        PretrainedTextEncoder("somebody/t5-small", 24)
    with pytest.raises(ValueError, match="folder: must be a local folder with a text encoder"):
        PretrainedTextEncoder(tmp_path, 24)
    with pytest.raises(ValueError, match="at most 3 symbols, got 5"):
        PretrainedTextEncoder(folder, 24, max_length=3)(["a red ball falls"])

"""diffusers pipelines and our own checkpoints answer the suite; tiny ones, built from config without a download."""

import numpy as np
import pytest
import torch

from worldsim.benchmarks.suite import SuiteConfig, load_generator, run_suite
from worldsim.benchmarks.suite.pipelines import PipelineGenerator

CONFIG = SuiteConfig(num=1, families=("parabola",), pixels=32, num_frames=6)


diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")


def cogvideox(kind):
    """A CogVideoX pipeline with one block of 32 channels, a word-level tokenizer and a one-layer text encoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "ball": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16
    )
    encoder = transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        in_channels=3,
        out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=8 if kind == "CogVideoXImageToVideoPipeline" else 4,
        out_channels=4,
        time_embed_dim=4,
        text_embed_dim=16,
        num_layers=1,
        sample_width=6,
        sample_height=6,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
        use_rotary_positional_embeddings=True,
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "vae": vae.eval(),
        "transformer": transformer,
        "scheduler": diffusers.CogVideoXDDIMScheduler(),
    }
    return getattr(diffusers, kind)(**parts)


@pytest.mark.parametrize(("kind", "continues"), [("CogVideoXPipeline", False), ("CogVideoXImageToVideoPipeline", True)])
def test_a_tiny_pipeline_answers(kind, continues, tmp_path):
    pipeline = cogvideox(kind)
    asked = {}
    plain = type(pipeline).__call__

    class Watched(type(pipeline)):
        def __call__(self, image=None, prompt=None, height=0, width=0, num_frames=0, **options):
            asked.update(image=image, prompt=prompt, size=(height, width), num_frames=num_frames)
            given = {} if image is None else {"image": image}
            size = {"height": height, "width": width, "num_frames": num_frames}
            return plain(self, prompt=prompt, max_sequence_length=16, **size, **given, **options)

    model = PipelineGenerator(pipeline, "tiny", size=40, num_inference_steps=1, guidance_scale=1.0)
    assert model.continues == continues
    pipeline.__class__ = Watched
    context = np.zeros((4, 32, 32, 3), np.uint8)
    context[-1] = 200
    new = model.generate(context, None, 6, 10.0, 3, "a ball")
    assert new.shape == (6, 32, 32, 3)
    assert new.dtype == np.uint8
    # 40 is brought up to 48, which 8 pixels a latent times patches of 2 divide; 6 new frames, and the given one, fit 9.
    assert asked["size"] == (48, 48)
    assert asked["num_frames"] == 9
    assert asked["prompt"] == "a ball"
    if continues:
        assert asked["image"].getpixel((20, 20)) == (200, 200, 200)
    again, other = (model.generate(context, None, 6, 10.0, seed, "a ball").astype(int) for seed in (3, 4))
    assert np.abs(new - again).max() <= 1  # the autoencoder repeats itself to a grey level
    assert np.abs(new - other).max() > 5


def test_a_folder_with_a_pipeline_runs_the_suite(tmp_path):
    cogvideox("CogVideoXPipeline").save_pretrained(tmp_path / "tiny")
    model = load_generator(tmp_path / "tiny", {"num_inference_steps": 1, "guidance_scale": 1.0})
    assert model.name == "tiny"
    clips = run_suite(CONFIG, model, tmp_path / "out")
    assert all(clip.answered for clip in clips)
    assert max(clip.headline for clip in clips) < 0.9  # an untrained pipeline shows no ball that flies
    with pytest.raises(ValueError, match=r"model_args.guidance"):
        load_generator(tmp_path / "tiny", {"guidance": 1.0})


def test_what_is_no_video_pipeline_is_refused():
    class Image:
        def __call__(self, prompt, generator=None):
            raise AssertionError

    with pytest.raises(ValueError, match="takes no num_frames"):
        PipelineGenerator(Image())


def test_our_checkpoints_answer_and_say_what_they_cannot(tmp_path):
    from worldsim.models.config import DiTConfig, WorldModelConfig
    from worldsim.models.world_model import WorldModel

    torch.manual_seed(0)
    tiny = DiTConfig(width=48, depth=1, heads=2)
    model = WorldModel(WorldModelConfig(dit=tiny, context_lengths=(2, 4), fps=10.0))
    model.save_pretrained(tmp_path / "tiny")
    config = SuiteConfig(num=1, families=("parabola", "hoop"), pixels=32, num_frames=6)
    of_folder = run_suite(config, load_generator(tmp_path / "tiny", {"steps": 2}), tmp_path / "a")
    assert [clip.answered for clip in of_folder] == [True, True, False, False]
    assert "fps" in of_folder[2].reason
    of_object = run_suite(config, load_generator(model, {"steps": 2}), tmp_path / "b")
    assert [clip.scores for clip in of_object] == [clip.scores for clip in of_folder]
    off = load_generator(tmp_path / "tiny", {"steps": 2, "hint": False})
    assert off.name == "tiny, hint off"
    with pytest.raises(ValueError, match=r"model_args.stepz"):
        load_generator(model, {"stepz": 2})

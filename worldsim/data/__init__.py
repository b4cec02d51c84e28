"""Rollouts on disk and in batches: video files, shards, generation that resumes, random access, clips."""

from worldsim.data._survey import Survey, survey
from worldsim.data.clip import Clip, collate, to_float, to_uint8
from worldsim.data.clip_set import ClipSet, SmallClip, average_down, save_clips
from worldsim.data.dataset import RolloutDataset
from worldsim.data.encode import decode_rollout, encode_rollout
from worldsim.data.errors import GenerationError
from worldsim.data.generate import GenerateConfig, generate_dataset, generate_shard
from worldsim.data.loader import ClipLoader
from worldsim.data.sampler import ResumableBatchSampler, layouts
from worldsim.data.video import VideoWriter, read_video, stream_video, write_video
from worldsim.scene.errors import DataError

__all__ = [
    "Clip",
    "ClipLoader",
    "ClipSet",
    "DataError",
    "GenerateConfig",
    "GenerationError",
    "ResumableBatchSampler",
    "RolloutDataset",
    "SmallClip",
    "Survey",
    "VideoWriter",
    "average_down",
    "collate",
    "decode_rollout",
    "encode_rollout",
    "generate_dataset",
    "generate_shard",
    "layouts",
    "read_video",
    "save_clips",
    "stream_video",
    "survey",
    "to_float",
    "to_uint8",
    "write_video",
]

"""Rollouts on disk: shards, index, resume, video files, batches."""

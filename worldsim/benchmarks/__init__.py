"""Scores of generated video: metrics, protocols, violating twins and the report."""

"""YAML that names config dataclasses; read by the command line only."""

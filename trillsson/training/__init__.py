"""Targets, input pipeline, loop, checkpoints, export."""

"""Data jobs: prepare, embed, statistics."""

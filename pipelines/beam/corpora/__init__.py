"""One file a corpus reader."""

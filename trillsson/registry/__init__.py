"""Where versions are published: `<model>/versions/<N>/` and `<model>/aliases/<name>.json`."""

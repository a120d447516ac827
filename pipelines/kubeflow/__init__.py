"""The release graph: build, compile, run locally, submit."""

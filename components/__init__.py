"""One file a step: a thin KFP component whose body is an import and a call."""

"""Tasks, probes, metrics and the report of the Non-Semantic Speech benchmark."""

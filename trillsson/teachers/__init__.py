"""One file a kind of embedder."""

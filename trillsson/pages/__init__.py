"""What the project's HTML pages share: how they are rendered, their style, the pieces of their pictures."""

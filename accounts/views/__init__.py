"""Pages about people, one module per place."""

"""Pages of the tickets room, a module each."""

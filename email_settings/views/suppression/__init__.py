"""Admin Panel → Suppression List."""

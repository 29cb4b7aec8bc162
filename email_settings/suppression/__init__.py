"""Addresses that get no mail: why, since when, and how they get it again."""

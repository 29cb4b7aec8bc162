"""What stands between an installation and mail that arrives."""

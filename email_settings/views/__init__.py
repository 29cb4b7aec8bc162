"""The admin's pages about mail."""

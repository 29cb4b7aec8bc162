"""One function for each line of the checklist."""

"""What a real AWS account answers, written down without what is private."""

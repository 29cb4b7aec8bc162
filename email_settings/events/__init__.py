"""What Amazon SES tells about mail: read from a queue, kept, and made a mail's fate."""

"""Errors whose text may be shown to a person."""


class DomainError(Exception):
    """A refused action; the message says what happened and how to go on."""

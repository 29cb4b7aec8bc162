"""Amazon SES, API v2: what it answers to each operation that TicketFlow uses.

The words of its refusals are AWS's own; where each was found is told in the catalogue of
errors of the gateway.
"""

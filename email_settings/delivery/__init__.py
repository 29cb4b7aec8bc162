"""How a row of the outbox becomes a mail.

pump runs it: claim leases rows, send hands each to the gateway, settle writes what
came of it. recovery finds what a dead worker left, hold keeps all mail back while the
account is broken, by_hand is what people may ask for.
"""

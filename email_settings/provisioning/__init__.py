"""What an admin makes in AWS before TicketFlow can send: rights, and the way of events.

Everything here is text to read, paste and run; nothing here asks AWS. The key that
TicketFlow works with never needs the rights to set any of this up.
"""

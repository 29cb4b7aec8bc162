"""What happens to mail when processes and servers die, freeze or come back.

Real processes, real servers, and only Amazon SES played. What must hold is in promises,
who breaks what is in plan.
"""

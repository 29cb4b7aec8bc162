"""A stand-in for AWS: Amazon SES and STS over HTTP on the loopback address.

For tests and for `make demo`. It is as strict as AWS where strictness teaches something:
signatures are checked, identities belong to a region, the sandbox, rate and quota hold,
a key may do what its policy allows. What it answers is checked against the shapes that
the AWS SDK itself carries, so that it can't drift.
"""

"""What AWS, disk, clock and database can do to mail: the real sending path meets it.

Every test sends through the real pump, claim, settle and AWS SDK, to a stand-in for
Amazon SES that keeps a log of every POST. FAULT_REPEATS makes them longer.
"""

import os

# Once in `make test`; `make test-faults` asks for many.
REPEATS = int(os.environ.get("FAULT_REPEATS", "1"))

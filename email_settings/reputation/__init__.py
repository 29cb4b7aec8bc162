"""How much mail comes to grief, and what is kept back before AWS stops the account."""

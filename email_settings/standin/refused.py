"""An answer of AWS that says no."""


class RefusedError(Exception):
    """AWS does not do what was asked, with its code, words and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

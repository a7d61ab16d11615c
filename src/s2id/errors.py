"""The error of bad input."""


class InputError(ValueError):
    """Input that cannot be used; its one sentence names it, what was expected and what to do."""

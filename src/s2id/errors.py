"""The errors of bad input, and of what was lost through no fault of its own."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one sentence: what is wrong, what was expected and what to do."""


class LostError(InputError):
    """Input that could not be used this time, because time ran out or a process was ended; it may be next time."""


class SlowError(InputError):
    """Input that takes more of the processor's time than it may; a busy processor may count some of it twice."""

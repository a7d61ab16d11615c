"""The error that every refusal of bad input raises."""


class InputError(ValueError):
    """Input that cannot be used. Its message is one sentence: what is wrong, what was expected and what to do."""

"""A trained model and its file, what it is asked for, and the fields that it composes."""

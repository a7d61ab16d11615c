"""Data sets: pictures, what is known of them, and a reader per source."""

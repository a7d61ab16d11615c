"""Data sets: what pictures and their labels look like in memory, a reader for each source, and a cache on disk."""

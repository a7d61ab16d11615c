"""The studio: a server for browsers and programs, and its pages. The extra `studio` brings what it needs."""

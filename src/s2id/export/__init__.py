"""What takes pictures and models elsewhere: pages with the player."""

"""Pictures from observations: enlarging, restoring, fusing the frames of a moving camera."""

"""Plan and write an image."""

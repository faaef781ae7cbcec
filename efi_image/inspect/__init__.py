"""Facts about images and PE files, and their differences."""

"""Rules about FAT volumes."""

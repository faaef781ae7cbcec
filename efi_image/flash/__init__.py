"""Writes images to devices and files, and reads back what was written."""

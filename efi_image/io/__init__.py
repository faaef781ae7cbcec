"""Bytes in and out: atomic output, sources, sinks, views."""

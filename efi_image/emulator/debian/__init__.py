"""Debian packages, fetched without installing them."""

"""Unpacks Debian packages without installing them."""

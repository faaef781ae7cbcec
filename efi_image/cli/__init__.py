"""The commands of zpp-image, one module each."""

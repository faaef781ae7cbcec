"""The formats on disk: one package or module each, reader and writer."""

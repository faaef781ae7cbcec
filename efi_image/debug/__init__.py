"""Debuggers: gdb, symbols, generated scripts."""

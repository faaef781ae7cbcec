"""Debugging: gdb, source lines of crash reports, scripts for debuggers."""

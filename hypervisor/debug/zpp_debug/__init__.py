"""gdb commands for the core (docs/how-to/debugging.md); out/environment/zpp_gdb.py loads them.

`elf`, `nested` and `layout` know nothing of gdb and are tested without it.
"""

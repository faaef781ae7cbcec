"""Debugging the core.

gdb        starts gdb for a machine that `zpp-image run --debug` boots
symbolize  turns the addresses of a crash report into source lines
scripts    writes scripts for debuggers to out/environment
"""

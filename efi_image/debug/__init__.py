"""Debugging the core, and watching what a guest does.

gdb             starts gdb for a machine that `zpp-image run --debug` boots
symbolize       turns the addresses of a crash report into source lines
scripts         writes scripts for debuggers to out/environment
trace_image     a copy of an image that switches the trace of VM exits on
trace_follow    records the trace while a guest runs
trace_explain   narrates it
kernel_symbols  names of a guest kernel's addresses
"""

"""The hypervisor that runs under this Linux: what zpp.ko shows of it.

hypervisor     /sys/kernel/debug/zpp: status, counters of VM exits, log
"""

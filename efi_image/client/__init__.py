"""The hypervisor that runs under this Linux: what zpp.ko shows of it, and the record of its boot.

hypervisor     /sys/kernel/debug/zpp: status, counters of VM exits, log
boot_record    the UEFI variable with which ZppBoot counts failed boots
"""

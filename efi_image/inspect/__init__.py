"""Looks into images, PE files and traces without changing them.

image        facts about an image: table, partitions, volumes, files
pe           facts about a PE file
difference   two images or PE files, compared by meaning
causes       why a medium differs from its image, though nobody changed it
extract      files of an image, written below a directory

trace_summary     a trace of VM exits in numbers
vm_exits          each kind of VM exit, in words
vm_exit_reasons   the exit reasons and exit codes of both vendors
vm_exit_names     CPUID leaves, MSRs, APIC registers, hypercalls
"""

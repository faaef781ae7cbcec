/* hypervisor.elf, unchanged, in a section that the kernel frees after the module's init function. */
    .section .init.rodata, "a"
    .globl zpp_elf_file, zpp_elf_file_end
    .balign 16
zpp_elf_file:
    .incbin "hypervisor.elf"
zpp_elf_file_end:

    .section .note.GNU-stack, "", @progbits

/* hypervisor.elf as it was built, in a section that is freed after the module's start. */
    .section .init.rodata, "a"
    .globl zpp_elf_file, zpp_elf_file_end
    .balign 16
zpp_elf_file:
    .incbin "hypervisor.elf"
zpp_elf_file_end:

    .section .note.GNU-stack, "", @progbits

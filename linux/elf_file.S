/* hypervisor.elf, unchanged. A module that is kept launches it again after the machine slept. */
    .section .rodata, "a"
    .globl zpp_elf_file, zpp_elf_file_end
    .balign 16
zpp_elf_file:
    .incbin "hypervisor.elf"
zpp_elf_file_end:

    .section .note.GNU-stack, "", @progbits

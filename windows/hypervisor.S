/* hypervisor.elf, unchanged, in the driver's read-only data. */
        .section .rdata,"dr"
        .balign 4096
        .globl zpp_hypervisor_elf, zpp_hypervisor_elf_end
zpp_hypervisor_elf:
        .incbin ZPP_HYPERVISOR_ELF
zpp_hypervisor_elf_end:

;; @file
;  hypervisor.elf, unchanged, in the driver's read-only data.
;;

    DEFAULT REL
    SECTION .rdata align=4096

    GLOBAL  ASM_PFX(gHypervisorElf)
    GLOBAL  ASM_PFX(gHypervisorElfEnd)

ASM_PFX(gHypervisorElf):
    INCBIN  HYPERVISOR_ELF
ASM_PFX(gHypervisorElfEnd):

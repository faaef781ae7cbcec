/* void zpp_svm_halt(void): see instructions.hpp. */
    .cfi_sections .debug_frame
    .text
    .globl zpp_svm_halt, zpp_svm_halt_instruction, zpp_svm_halt_end
    .type zpp_svm_halt, @function
    .p2align 4
zpp_svm_halt:
    .cfi_startproc
    stgi
zpp_svm_halt_instruction:
    hlt
zpp_svm_halt_end:
    clgi
    retq
    .cfi_endproc
    .size zpp_svm_halt, . - zpp_svm_halt

    .section .note.GNU-stack, "", @progbits

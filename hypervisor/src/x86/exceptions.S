/* The entries of the host's IDT: build an ExceptionFrame and call zpp_on_exception. */
    .cfi_sections .debug_frame
    .text
    .globl zpp_exception_stubs
    .p2align 4
zpp_exception_stubs:
    .set vector, 0
    .rept 32
    .p2align 4
    /* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC and #SX push an error code, the others do not. */
    .if (0x60227d00 >> vector) & 1 == 0
    pushq $0
    .endif
    pushq $vector
    jmp exception_common
    .set vector, vector + 1
    .endr

    .type exception_common, @function
exception_common:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 56
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .cfi_adjust_cfa_offset 120
    .cfi_offset rbp, -96
    .cfi_offset rbx, -88
    .cfi_offset r12, -152
    .cfi_offset r13, -160
    .cfi_offset r14, -168
    .cfi_offset r15, -176
    movq %rsp, %rdi
    movq %rsp, %rbx
    .cfi_def_cfa rbx, 176
    andq $-16, %rsp
    cld
    call zpp_on_exception
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq
    .cfi_endproc
    .size exception_common, . - exception_common

/* An interrupt, which the host takes only while it resets the local APIC. */
    .globl zpp_interrupt_stub
    .type zpp_interrupt_stub, @function
    .p2align 4
zpp_interrupt_stub:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 40
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    .cfi_adjust_cfa_offset 72
    cld
    call zpp_on_interrupt
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    btrl $9, 16(%rsp) /* RFLAGS.IF: one at a time, as a level-triggered one may come again at once */
    iretq
    .cfi_endproc
    .size zpp_interrupt_stub, . - zpp_interrupt_stub

    .section .note.GNU-stack, "", @progbits

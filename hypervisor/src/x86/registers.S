/* Pushing and popping the guest's general registers, for the exit stubs of both vendors. Included,
 * not assembled by itself. */
    .macro push_scratch_registers
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    .endm

    .macro push_other_registers
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    .macro pop_other_registers
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    .endm

    .macro pop_scratch_registers
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    .endm

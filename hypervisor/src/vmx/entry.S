/* Into the guest and out of it. The order of the registers is that of GuestRegisters (vcpu.hpp). */
    .macro push_registers
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
    .endm

    .macro pop_registers
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
    .endm

    .text

/* HOST_RIP. HOST_RSP is 8 below the top of the host stack, so that the call below is aligned. */
    .globl zpp_vmx_exit
    .type zpp_vmx_exit, @function
    .p2align 4
zpp_vmx_exit:
    .cfi_startproc
    .cfi_undefined rip
    push_registers
    .cfi_def_cfa_offset 128
    movq %rsp, %rdi
    call zpp_vmx_on_exit
    pop_registers
    .cfi_def_cfa_offset 8
    vmresume
    push_registers
    movq %rsp, %rdi
    call zpp_vmx_on_failed_resume
    ud2
    .cfi_endproc
    .size zpp_vmx_exit, . - zpp_vmx_exit

/* void zpp_vmx_launch(void): returns only if VMLAUNCH failed. The guest starts with zeroed
 * registers. */
    .globl zpp_vmx_launch
    .type zpp_vmx_launch, @function
    .p2align 4
zpp_vmx_launch:
    .cfi_startproc
    push_registers
    .cfi_adjust_cfa_offset 120
    xorl %eax, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    vmlaunch
    pop_registers
    .cfi_adjust_cfa_offset -120
    retq
    .cfi_endproc
    .size zpp_vmx_launch, . - zpp_vmx_launch

/* [[noreturn]] void zpp_vmx_jump_to_loader(call, target): after VMXOFF, R12 = call. */
    .globl zpp_vmx_jump_to_loader
    .type zpp_vmx_jump_to_loader, @function
zpp_vmx_jump_to_loader:
    movq %rdi, %r12
    jmpq *%rsi
    .size zpp_vmx_jump_to_loader, . - zpp_vmx_jump_to_loader

    .section .note.GNU-stack, "", @progbits

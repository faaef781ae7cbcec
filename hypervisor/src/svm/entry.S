/* Runs the guest in a loop around VMRUN. The registers are pushed in the order of GuestRegisters
 * (core/guest_registers.hpp); the guest's RAX is in the VMCB, the handlers fill its slot on the
 * stack. The state of VMSAVE and VMLOAD is switched only for the general handler. */
#include "x86/registers.S"

    .text

/* Loads the guest's state of VMLOAD, where RSP is as at the start of the loop. */
    .macro load_guest
    movq (%rsp), %rax
    vmload %rax
    .endm

/* Runs the guest. */
    .macro run_guest
    movq (%rsp), %rax
    vmrun %rax
    push_scratch_registers
    .endm

/* Switches to the host's state of VMLOAD, and calls an exit handler, which returns whether the guest
 * continues. */
    .macro call_handler handler
    movq 80(%rsp), %rax
    vmsave %rax
    movq 88(%rsp), %rax
    vmload %rax
    push_other_registers
    movq %rsp, %rdi
    call \handler
    testb %al, %al
    pop_other_registers
    jz 4f
    pop_scratch_registers
    .endm

/* bool zpp_svm_run(u64 guest_vmcb, u64 host_vmcb, bool traced), host-physical addresses: runs the
 * guest; `traced`: in the second loop, which writes the trace and has no fast handler. Returns only
 * if the CPU refused the first VMRUN. GIF must be clear. */
    .globl zpp_svm_run
    .type zpp_svm_run, @function
    .p2align 4
zpp_svm_run:
    .cfi_startproc
    push_other_registers
    .cfi_rel_offset %rbp, 32
    .cfi_rel_offset %r12, 24
    .cfi_rel_offset %r13, 16
    .cfi_rel_offset %r14, 8
    .cfi_rel_offset %r15, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    /* Set RFLAGS.AC while the core runs: it suspends SMAP, which the core does not need as it
     * has no user pages. With a guest that uses SMAP, QEMU's TCG then keeps the host's
     * translations in a separate table, which is small and fast to flush. */
    pushfq
    .cfi_adjust_cfa_offset 8
    orl $0x40000, (%rsp)
    popfq
    .cfi_adjust_cfa_offset -8
    pushq %rsi
    pushq %rdi
    .cfi_adjust_cfa_offset 16
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    testb %dl, %dl
    movl $0, %edx
    jnz 5f
    .p2align 4
1:  load_guest
2:  run_guest
    movq %rsp, %rdi
    subq $8, %rsp /* keeps the stack aligned for the call */
    .cfi_adjust_cfa_offset 8
    call zpp_svm_on_fast_exit
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    testb %al, %al
    jz 3f
    pop_scratch_registers
    jmp 2b
3:  .cfi_def_cfa_offset 152
    call_handler zpp_svm_on_exit
    jmp 1b
5:  .cfi_def_cfa_offset 72
    load_guest
    run_guest
    call_handler zpp_svm_on_traced_exit
    jmp 5b
4:  .cfi_def_cfa_offset 152
    addq $96, %rsp
    .cfi_adjust_cfa_offset -96
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    pop_other_registers
    .cfi_restore %rbp
    .cfi_restore %r12
    .cfi_restore %r13
    .cfi_restore %r14
    .cfi_restore %r15
    retq
    .cfi_endproc
    .size zpp_svm_run, . - zpp_svm_run

    .section .note.GNU-stack, "", @progbits

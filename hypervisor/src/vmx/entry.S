/* VM entry and VM exit. The registers are pushed in the order of GuestRegisters
 * (core/guest_registers.hpp). */
#include "x86/registers.S"

    .text

/* HOST_RIP. HOST_RSP is the 16-byte aligned top of the host stack. The fast handler returns
 * whether it has handled the exit. */
    .globl zpp_vmx_exit
    .type zpp_vmx_exit, @function
    .p2align 4
zpp_vmx_exit:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa_offset 0
    push_scratch_registers
    movq %rsp, %rdi
    call zpp_vmx_on_fast_exit
    testb %al, %al
    jz 1f
    pop_scratch_registers
    vmresume
    jmp 2f
zpp_vmx_after_fast_exit:
1:  .cfi_def_cfa_offset 80
    push_other_registers
    movq %rsp, %rdi
    subq $8, %rsp /* keeps the stack aligned for the call */
    .cfi_adjust_cfa_offset 8
    call zpp_vmx_on_exit
zpp_vmx_after_general_exit:
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    pop_other_registers
    pop_scratch_registers
    vmresume
2:  push_scratch_registers
    push_other_registers
    movq %rsp, %rdi
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call zpp_vmx_on_failed_resume
    ud2
    .cfi_endproc
    .size zpp_vmx_exit, . - zpp_vmx_exit

/* HOST_RIP while the fast handler must not see the exits. */
    .globl zpp_vmx_general_exit
    .type zpp_vmx_general_exit, @function
    .p2align 4
zpp_vmx_general_exit:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa_offset 0
    push_scratch_registers
    jmp zpp_vmx_after_fast_exit
    .cfi_endproc
    .size zpp_vmx_general_exit, . - zpp_vmx_general_exit

/* HOST_RIP while the trace is on. */
    .globl zpp_vmx_traced_exit
    .type zpp_vmx_traced_exit, @function
    .p2align 4
zpp_vmx_traced_exit:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa_offset 0
    push_scratch_registers
    push_other_registers
    movq %rsp, %rdi
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call zpp_vmx_on_traced_exit
    jmp zpp_vmx_after_general_exit
    .cfi_endproc
    .size zpp_vmx_traced_exit, . - zpp_vmx_traced_exit

/* void zpp_vmx_launch(void): returns only if VMLAUNCH failed. The guest starts with zeroed
 * registers. */
    .globl zpp_vmx_launch
    .type zpp_vmx_launch, @function
    .p2align 4
zpp_vmx_launch:
    .cfi_startproc
    push_scratch_registers
    push_other_registers
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
    pop_other_registers
    pop_scratch_registers
    retq
    .cfi_endproc
    .size zpp_vmx_launch, . - zpp_vmx_launch

    .section .note.GNU-stack, "", @progbits

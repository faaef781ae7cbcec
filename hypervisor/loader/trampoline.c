#include "trampoline.h"
#include "zpp/hypercall.h"

/* Bits of CR4 that stay set while the core runs: PAE, MCE, LA57, VMXE, OSXSAVE. Cleared are PGE,
 * so that no global translation of the OS survives the switch of page tables; PCIDE, so that the
 * host's translations have PCID 0; and the bits with state of the OS: CET, PKS, LASS, UINTR,
 * FRED. */
#define CR4_KEPT (1 << 5 | 1 << 6 | 1 << 12 | 1 << 13 | 1 << 18)

/* A kernel may need more than RET, or annotations for its tools. */
#ifndef ZPP_ASM_RET
#define ZPP_ASM_RET "retq"
#endif
#ifndef ZPP_ASM_INDIRECT_CALL_FOLLOWS
#define ZPP_ASM_INDIRECT_CALL_FOLLOWS ""
#endif
#ifndef ZPP_ASM_NO_ENTRY /* its address is taken, but not for an indirect call */
#define ZPP_ASM_NO_ENTRY ""
#endif

#define CALL(field) __builtin_offsetof(struct zpp_cpu_call, field)

#define SAVE_REGISTERS                                                                             \
    "    pushq %%rbp\n"                                                                            \
    "    pushq %%rbx\n"                                                                            \
    "    pushq %%r12\n"                                                                            \
    "    pushq %%r13\n"                                                                            \
    "    pushq %%r14\n"                                                                            \
    "    pushq %%r15\n"                                                                            \
    "    pushfq\n"                                                                                 \
    "    movq (%%rsp), %%rax\n"                                                                    \
    "    movq %%rax, %c[rflags](%%rdi)\n"                                                          \
    "    movq %%rsp, %c[rsp](%%rdi)\n"                                                             \
    "    leaq .Lzpp_resume(%%rip), %%rax\n"                                                        \
    "    movq %%rax, %c[rip](%%rdi)\n"

__attribute__((__naked__, __used__, __noinline__)) static void trampoline(void)
{
    __asm__ volatile(
        ZPP_ASM_NO_ENTRY
        "    .globl zpp_trampoline_start\n"
        "    .globl zpp_trampoline_call\n"
        "zpp_trampoline_start:\n"
        "zpp_trampoline_call:\n" SAVE_REGISTERS "    movq %c[core_call](%%rdi), %%r12\n"
        "    movq %c[core_cr3](%%rdi), %%rbx\n"
        "    movq %c[cr4](%%rdi), %%rax\n"
        "    andq %[cr4_kept], %%rax\n"
        "    movq %%rax, %%cr4\n"
        "    movl $0xc0000080, %%ecx\n" /* IA32_EFER.NXE; UEFI may not have set it */
        "    rdmsr\n"
        "    orl $0x800, %%eax\n"
        "    wrmsr\n"
        "    movq %%rbx, %%cr3\n"
        "    movq %c[core_stack](%%r12), %%rsp\n"
        "    movq %%r12, %%rdi\n" ZPP_ASM_INDIRECT_CALL_FOLLOWS "    callq *%c[entry](%%r12)\n"

        ZPP_ASM_NO_ENTRY "    .globl zpp_trampoline_leave\n"
        "zpp_trampoline_leave:\n"
        "    movq %c[os_call](%%r12), %%rdi\n"
        "    movq %c[cr3](%%r12), %%rax\n"
        "    andq $-4096, %%rax\n" /* CR4.PCIDE can only be set with PCID 0 */
        "    movq %%rax, %%cr3\n"
        "    lgdt %c[gdtr](%%rdi)\n"
        "    lidt %c[idtr](%%rdi)\n"
        "    movq %c[rsp](%%rdi), %%rsp\n"
        "    movzwl %c[cs](%%rdi), %%eax\n"
        "    pushq %%rax\n"
        "    leaq 8f(%%rip), %%rax\n"
        "    pushq %%rax\n"
        "    lretq\n"
        "8:  lldt %c[ldtr](%%rdi)\n" /* the data segments may be in the LDT */
        "    movl %c[ss](%%rdi), %%eax\n"
        "    movw %%ax, %%ss\n"
        "    movl %c[ds](%%rdi), %%eax\n"
        "    movw %%ax, %%ds\n"
        "    movl %c[es](%%rdi), %%eax\n"
        "    movw %%ax, %%es\n"
        "    movl $0xc0000080, %%ecx\n"
        "    movl %c[efer](%%rdi), %%eax\n"
        "    movl %c[efer] + 4(%%rdi), %%edx\n"
        "    wrmsr\n"
        "    movq %c[cr0](%%rdi), %%rax\n"
        "    movq %%rax, %%cr0\n"
        "    movq %c[cr4](%%rdi), %%rax\n"
        "    movq %%rax, %%cr4\n"
        "    movq %c[cr3](%%rdi), %%rax\n"
        "    movq %%rax, %%cr3\n"
        "    movl %c[status](%%rdi), %%eax\n"

        /* A launched guest starts here, with RAX = 0. */
        ".Lzpp_resume:\n"
        "    popfq\n"
        "    popq %%r15\n"
        "    popq %%r14\n"
        "    popq %%r13\n"
        "    popq %%r12\n"
        "    popq %%rbx\n"
        "    popq %%rbp\n"
        "    " ZPP_ASM_RET "\n"

        "    .globl zpp_trampoline_devirtualize\n"
        "zpp_trampoline_devirtualize:\n" SAVE_REGISTERS "    movabsq %[devirtualize], %%rax\n"
        "    cmpl $0, %c[amd](%%rdi)\n"
        "    jne 7f\n"
        "    vmcall\n" /* returns only if it is refused */
        "    jmp .Lzpp_resume\n"
        "7:  vmmcall\n"
        "    jmp .Lzpp_resume\n"

        "    .globl zpp_trampoline_unblock_nmi\n"
        "zpp_trampoline_unblock_nmi:\n"
        "    movl %%ss, %%eax\n"
        "    movq %%rsp, %%rcx\n"
        "    pushq %%rax\n"
        "    pushq %%rcx\n"
        "    pushfq\n"
        "    movl %%cs, %%eax\n"
        "    pushq %%rax\n"
        "    leaq 9f(%%rip), %%rax\n"
        "    pushq %%rax\n"
        "    iretq\n"
        "9:  " ZPP_ASM_RET "\n" ZPP_ASM_NO_ENTRY "    .globl zpp_trampoline_end\n"
        "zpp_trampoline_end:\n"
        :
        : [rsp] "i"(CALL(os.rsp)), [rip] "i"(CALL(os.rip)), [rflags] "i"(CALL(os.rflags)),
          [cr0] "i"(CALL(os.cr0)), [cr3] "i"(CALL(os.cr3)), [cr4] "i"(CALL(os.cr4)),
          [efer] "i"(CALL(os.efer)), [gdtr] "i"(CALL(os.gdtr.limit)),
          [idtr] "i"(CALL(os.idtr.limit)), [cs] "i"(CALL(os.cs.selector)),
          [ss] "i"(CALL(os.ss.selector)), [ds] "i"(CALL(os.ds.selector)),
          [es] "i"(CALL(os.es.selector)), [ldtr] "i"(CALL(os.ldtr.selector)),
          [entry] "i"(CALL(entry)), [core_cr3] "i"(CALL(core_cr3)),
          [core_call] "i"(CALL(core_call)), [core_stack] "i"(CALL(core_stack)),
          [os_call] "i"(CALL(os_call)), [status] "i"(CALL(status)), [amd] "i"(CALL(amd)),
          [cr4_kept] "i"(CR4_KEPT), [devirtualize] "i"(ZPP_HYPERCALL(ZPP_HYPERCALL_DEVIRTUALIZE)));
}

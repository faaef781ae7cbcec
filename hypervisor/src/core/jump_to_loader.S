/* [[noreturn]] void zpp_jump_to_loader(zpp_cpu_call* call, u64 target): jumps to
 * boot_info.trampoline_leave with R12 = call. */
    .text
    .globl zpp_jump_to_loader
    .type zpp_jump_to_loader, @function
zpp_jump_to_loader:
    movq %rdi, %r12
    jmpq *%rsi
    .size zpp_jump_to_loader, . - zpp_jump_to_loader

    .section .note.GNU-stack, "", @progbits

#include "commands.h"

#include <zpp/hypercall.h>

/* Maps pages, writes them, reads them back and unmaps them. */
static int touch_memory(u64 pattern)
{
    enum { SIZE = 1 << 20, PAGE = 4096, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };
    u8 *memory = (u8 *)syscall6(SYS_MMAP, 0, SIZE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
    if ((u64)memory > ~4095ul)
        return -1;
    int bad = 0;
    for (u64 i = 0; i < SIZE; i += PAGE)
        *(volatile u64 *)(memory + i) = pattern ^ i;
    for (u64 i = 0; i < SIZE; i += PAGE)
        bad |= *(volatile u64 *)(memory + i) != (pattern ^ i);
    syscall3(SYS_MUNMAP, (long)memory, SIZE, 0);
    return bad ? -1 : 0;
}

int stress(u32 first_cpu, u64 duration)
{
    const struct cpuid expected = cpuid(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
    const u64 end = seconds() + duration;
    u32 cpu = first_cpu;
    u64 rounds = 0;
    while (seconds() < end) {
        if (run_on(cpu) == 0)
            cpu++;
        else
            cpu = 0;
        const struct cpuid now = cpuid(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
        if (now.ebx != expected.ebx || now.ecx != expected.ecx || now.edx != expected.edx ||
            touch_memory(rounds) != 0) {
            text("stress: wrong result in round ");
            number(rounds);
            end_line();
            return -1;
        }
        syscall3(SYS_SCHED_YIELD, 0, 0, 0);
        rounds++;
    }
    text("stress: ");
    number(rounds);
    text(" rounds from CPU ");
    number(first_cpu);
    end_line();
    return 0;
}

/* Reads ES:0 in 32-bit code, which uses the segment's base. This may destroy the upper half of RSP. */
static u32 read_at_es(void)
{
    static u64 stack;
    u32 value;
    __asm__ volatile("movq %%rsp, %1\n"
                     "ljmpl *0f\n"               /* QEMU 7.2 does not support a far return here */
                     "0: .long 1f; .word 0x23\n" /* Linux's 32-bit code segment */
                     ".code32\n"
                     "1: movl %%es:0, %%eax\n"
                     "ljmp $0x33, $2f\n" /* its 64-bit one */
                     ".code64\n"
                     "2: movq %1, %%rsp\n"
                     : "=a"(value), "+m"(stack)
                     :
                     : "memory", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15");
    return value;
}

int watch_ldt(u32 cpu, u64 duration)
{
    static volatile u32 cell = 0x600df00d;
    struct {
        u32 entry, base, limit, flags;
    } segment = {0, (u32)(u64)&cell, 0xfff, 1}; /* 32-bit data, writable */
    const u32 write = 0x11, first_of_ldt = 7;
    const u64 end = seconds() + duration;
    if (run_on(cpu) != 0 || syscall3(SYS_MODIFY_LDT, write, (long)&segment, sizeof segment) != 0)
        return -1;
    __asm__ volatile("movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(first_of_ldt));
    while (seconds() < end) {
        u32 es, fs, gs;
        __asm__ volatile("movl %%es, %0; movl %%fs, %1; movl %%gs, %2"
                         : "=r"(es), "=r"(fs), "=r"(gs));
        if (es != first_of_ldt || fs != first_of_ldt || gs != first_of_ldt ||
            read_at_es() != cell) {
            text("ldt: another segment on CPU ");
            number(cpu);
            end_line();
            return -1;
        }
    }
    text("ldt: CPU ");
    number(cpu);
    text(" kept it");
    end_line();
    return 0;
}

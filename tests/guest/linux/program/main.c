/*
 * zpp-guest: checks the CPUs and the hypervisor from inside the small Linux guest. It is freestanding and
 * static, so that the initramfs needs no C library.
 *
 *   zpp-guest cpus [N]          the hypervisor that CPU N sees, or every CPU
 *   zpp-guest tsc               the TSC: ticks since reset, unless it was changed
 *   zpp-guest cpuid-ticks       the minimum number of ticks that a CPUID takes
 *   zpp-guest stress CPU SECS   CPUID, page faults and migrations, starting on CPU
 *   zpp-guest ldt CPU SECS      checks that ES keeps the base of an LDT segment
 *   zpp-guest drain             waits until the serial port has sent everything
 *   zpp-guest load FILE [WORDS] loads a kernel module; prints the error number, 0 for success
 *   zpp-guest kexec KERNEL INITRD WORDS   replaces this kernel by another
 *   zpp-guest booted            returns 0 the first time since power-on, then 1
 */
#include "commands.h"

_Noreturn static void leave(int status)
{
    for (;;)
        syscall3(SYS_EXIT, status, 0, 0);
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static u64 parse(const char *s)
{
    u64 value = 0;
    while (*s >= '0' && *s <= '9')
        value = value * 10 + (u64)(*s++ - '0');
    return value;
}

static int run(long argc, char **argv)
{
    if (argc == 2 && same(argv[1], "cpus"))
        return show_cpus();
    if (argc == 3 && same(argv[1], "cpus"))
        return show_cpu((u32)parse(argv[2]));
    if (argc == 2 && same(argv[1], "tsc"))
        return show_tsc();
    if (argc == 2 && same(argv[1], "cpuid-ticks"))
        return show_cpuid_ticks();
    if (argc == 4 && same(argv[1], "stress"))
        return stress((u32)parse(argv[2]), parse(argv[3]));
    if (argc == 4 && same(argv[1], "ldt"))
        return watch_ldt((u32)parse(argv[2]), parse(argv[3]));
    if (argc == 2 && same(argv[1], "drain"))
        return drain();
    if (argc >= 3 && same(argv[1], "load"))
        return load_module(argv[2], argc == 3 ? "" : argv[3]);
    if (argc == 5 && same(argv[1], "kexec"))
        return start_kernel(argv[2], argv[3], argv[4]);
    if (argc == 2 && same(argv[1], "booted"))
        return booted();
    text("usage: zpp-guest cpus [N] | tsc | cpuid-ticks | stress CPU SECONDS | ldt CPU SECONDS | "
         "drain | booted | "
         "load FILE [WORDS] | kexec KERNEL INITRD WORDS");
    end_line();
    return 2;
}

__attribute__((used)) _Noreturn static void start(long *stack)
{
    const int result = run(stack[0], (char **)(stack + 1));
    leave(result < 0 ? 1 : result);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movq %rsp, %rdi\n"
        "    andq $-16, %rsp\n"
        "    call start\n");

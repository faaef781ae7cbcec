#include "commands.h"

#include <zpp/hypercall.h>

static void put_signature(struct cpuid leaf)
{
    const u32 words[3] = {leaf.ebx, leaf.ecx, leaf.edx};
    for (int i = 0; i < 12; i++) {
        const u8 c = (u8)(words[i / 4] >> (i % 4 * 8));
        put(c >= ' ' && c < 127 ? (char)c : '.');
    }
}

static int is_zpp(struct cpuid leaf)
{
    return leaf.ebx == ZPP_SIGNATURE_EBX && leaf.ecx == ZPP_SIGNATURE_ECX &&
           leaf.edx == ZPP_SIGNATURE_EDX;
}

int show_cpu(u32 cpu)
{
    if (run_on(cpu) != 0)
        return -1;
    text("CPU ");
    number(cpu);
    const struct cpuid zpp = cpuid(ZPP_CPUID_SIGNATURE_LEAF, ZPP_CPUID_KEY);
    const int other = cpuid(1, 0).ecx >> 31;
    if (!is_zpp(zpp) && !other) {
        text(": no hypervisor");
        end_line();
        return 0;
    }
    text(": hypervisor ");
    put_signature(zpp);
    if (is_zpp(zpp)) {
        const u32 version = cpuid(ZPP_CPUID_VERSION_LEAF, ZPP_CPUID_KEY).eax;
        text(" version ");
        number(version >> 16);
        put('.');
        number(version >> 8 & 0xff);
        put('.');
        number(version & 0xff);
    }
    end_line();
    return 0;
}

int show_cpus(void)
{
    u64 mask[AFFINITY_WORDS] = {0};
    syscall3(SYS_SCHED_GETAFFINITY, 0, sizeof mask, (long)mask);
    int result = 0;
    for (u32 cpu = 0; cpu < MAX_CPUS; cpu++)
        if (mask[cpu / BITS] >> (cpu % BITS) & 1)
            result |= show_cpu(cpu);
    return result;
}

int show_tsc(void)
{
    text("TSC ");
    number(tsc());
    end_line();
    return 0;
}

int show_cpuid_ticks(void)
{
    u64 min = ~0ul;
    for (int i = 0; i < 1000; i++) {
        const u64 start = tsc();
        cpuid(1, 0);
        const u64 ticks = tsc() - start;
        if (ticks < min)
            min = ticks;
    }
    text("CPUID ");
    number(min);
    text(" ticks");
    end_line();
    return 0;
}

#include "debugfs.h"
#include "core_log.h"
#include "hypercall.h"

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/smp.h>

static struct dentry *directory;

/* A hypercall without arguments and with one result. False if the current CPU is not virtualized, as
 * after a sleep that ended the hypervisor. */
static bool query(enum zpp_hypercall number, u64 *result)
{
    struct zpp_hypercall_registers registers = {0};
    if (zpp_hypercall(number, &registers) != ZPP_HYPERCALL_OK)
        return false;
    *result = registers.rbx;
    return true;
}

/* Where Linux's CPUs are in the core's numbering. */
struct current_cpu {
    bool virtualized;
    u32 index;
};

static void look_at_current_cpu(void *result)
{
    struct current_cpu *cpu = result;
    cpu->virtualized = zpp_cpu_is_held();
    cpu->index = zpp_cpu_index();
}

static void show_cpus(struct seq_file *file)
{
    unsigned number;
    for_each_present_cpu(number)
    {
        struct current_cpu cpu = {0};
        if (smp_call_function_single(number, look_at_current_cpu, &cpu, 1) != 0)
            seq_printf(file, "cpu %u offline\n", number);
        else if (!cpu.virtualized)
            seq_printf(file, "cpu %u bare\n", number);
        else
            seq_printf(file, "cpu %u index %u\n", number, cpu.index);
    }
}

static int state_show(struct seq_file *file, void *unused)
{
    u64 cpus, pages;
    if (!query(ZPP_HYPERCALL_CPU_COUNT, &cpus) || !query(ZPP_HYPERCALL_MEMORY, &pages))
        return -ENODEV;
    seq_printf(file, "version %u.%u.%u\n", ZPP_VERSION_MAJOR, ZPP_VERSION_MINOR, ZPP_VERSION_PATCH);
    seq_printf(file, "cpus %llu\n", cpus);
    seq_printf(file, "pages %llu\n", pages);
    seq_printf(file, "uses %s\n", zpp_cpu_is_amd() ? "AMD-V" : "VT-x");
    show_cpus(file);
    return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int log_show(struct seq_file *file, void *unused)
{
    char chunk[ZPP_CORE_LOG_CHUNK];
    u64 position = 0, cpus;
    unsigned length;
    if (!query(ZPP_HYPERCALL_CPU_COUNT, &cpus))
        return -ENODEV;
    while ((length = zpp_core_log_read(&position, chunk)) != 0)
        seq_write(file, chunk, length);
    return 0;
}
DEFINE_SHOW_ATTRIBUTE(log);

static void show_exits_of_cpu(struct seq_file *file, u64 cpu)
{
    u64 reason;
    for (reason = 0;; ++reason) {
        struct zpp_hypercall_registers registers = {.rbx = cpu, .rcx = reason};
        if (zpp_hypercall(ZPP_HYPERCALL_EXIT_COUNT, &registers) != ZPP_HYPERCALL_OK)
            return;
        if (registers.rbx != 0)
            seq_printf(file, "%llu 0x%llx %llu\n", cpu, reason, registers.rbx);
    }
}

static int exits_show(struct seq_file *file, void *unused)
{
    u64 cpus, cpu;
    if (!query(ZPP_HYPERCALL_CPU_COUNT, &cpus))
        return -ENODEV;
    seq_puts(file, "cpu reason count\n");
    for (cpu = 0; cpu < cpus; ++cpu) {
        show_exits_of_cpu(file, cpu);
        cond_resched();
    }
    return 0;
}
DEFINE_SHOW_ATTRIBUTE(exits);

void zpp_debugfs_add(void)
{
    directory = debugfs_create_dir("zpp", NULL);
    debugfs_create_file("state", 0400, directory, NULL, &state_fops);
    debugfs_create_file("log", 0400, directory, NULL, &log_fops);
    debugfs_create_file("exits", 0400, directory, NULL, &exits_fops);
}

void zpp_debugfs_remove(void) { debugfs_remove_recursive(directory); }

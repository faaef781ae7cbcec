#include "debugfs.h"
#include "core_log.h"
#include "hypercall.h"

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

static struct dentry *directory;

static u64 query(enum zpp_hypercall number)
{
    struct zpp_hypercall_registers registers = {0};
    return zpp_hypercall(number, &registers) == ZPP_HYPERCALL_OK ? registers.rbx : 0;
}

static int state_show(struct seq_file *file, void *unused)
{
    seq_printf(file, "version %u.%u.%u\n", ZPP_VERSION_MAJOR, ZPP_VERSION_MINOR, ZPP_VERSION_PATCH);
    seq_printf(file, "cpus %llu\n", query(ZPP_HYPERCALL_CPU_COUNT));
    seq_printf(file, "pages %llu\n", query(ZPP_HYPERCALL_MEMORY));
    return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int log_show(struct seq_file *file, void *unused)
{
    char chunk[ZPP_CORE_LOG_CHUNK];
    u64 position = 0;
    unsigned length;
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
    const u64 cpus = query(ZPP_HYPERCALL_CPU_COUNT);
    u64 cpu;
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

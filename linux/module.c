/*
 * zpp.ko: loads the hypervisor under the running Linux. Without keep=1 the module then fails its own
 * initialization with EPERM ("Operation not permitted"): the hypervisor stays, the module does not.
 * With client=1 it launches nothing, and only reads the hypervisor that is there (docs/adr/0021).
 */
#define pr_fmt(format) "zpp: " format

#include "checks.h"
#include "core_log.h"
#include "cpus.h"
#include "debugfs.h"
#include "hotplug.h"
#include "memory.h"
#include "power.h"

#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/vmalloc.h>

static bool keep;
module_param(keep, bool, 0444);
MODULE_PARM_DESC(keep, "keep the module loaded; rmmod then removes the hypervisor from every CPU");

static bool client;
module_param(client, bool, 0444);
MODULE_PARM_DESC(client,
                 "launch nothing: only read the hypervisor that already runs, such as the one "
                 "that ZppBoot started; rmmod leaves it in place");

static ushort serial;
module_param(serial, ushort, 0444);
MODULE_PARM_DESC(serial,
                 "I/O port of a UART for the hypervisor's log, such as 0x3f8 (default 0: none)");

static bool wait_for_debugger = ZPP_WAIT_FOR_DEBUGGER;
module_param(wait_for_debugger, bool, 0444);
MODULE_PARM_DESC(wait_for_debugger, "wait for a debugger before the hypervisor starts");

static bool visible;
module_param(visible, bool, 0444);
MODULE_PARM_DESC(visible, "show the hypervisor in CPUID (default 0: the system sees the bare CPU)");

static ushort reset_after = ZPP_RESET_AFTER_DEFAULT;
module_param(reset_after, ushort, 0444);
MODULE_PARM_DESC(
    reset_after,
    "seconds from a crash of the hypervisor to the reset, 0 for no reset (default 10)");

extern const char zpp_elf_file[], zpp_elf_file_end[];

static struct zpp_memory memory;
static struct zpp_cpus cpus;
static DEFINE_MUTEX(lock); /* a restart can come at any time */

static void *physical_to_virtual(void *context, uint64_t physical)
{
    return phys_to_virt(physical);
}

/* Only for the trampoline, which is in the module's text. */
static uint64_t virtual_to_physical(void *context, const void *virtual_address)
{
    return page_to_phys(vmalloc_to_page(virtual_address)) + offset_in_page(virtual_address);
}

static enum zpp_status __init allocate(void)
{
    const u64 pages = zpp_loader_pages(zpp_elf_file, zpp_elf_file_end - zpp_elf_file, cpus.count);
    if (pages == 0)
        return ZPP_BAD_ELF;
    return zpp_memory_allocate(&memory, pages) ? ZPP_OK : ZPP_NO_MEMORY;
}

static enum zpp_status prepare(void)
{
    const struct zpp_loader_request request = {
        .os = {.virtual_of = physical_to_virtual, .physical_of = virtual_to_physical},
        .elf = zpp_elf_file,
        .elf_size = zpp_elf_file_end - zpp_elf_file,
        .ranges = memory.ranges,
        .range_count = memory.count,
        .cpu_count = cpus.count,
        .apic_ids = cpus.apic_ids,
        .serial_port = serial,
        .wait_for_debugger = wait_for_debugger,
        .visible = visible,
        .reset_after = min_t(ushort, reset_after, ZPP_RESET_AFTER_MAX),
    };
    return zpp_cpus_prepare(&cpus, &request);
}

/* Devirtualizes every CPU. Keeps the memory allocated if one stays virtualized. */
static bool devirtualize(void)
{
    const bool done = zpp_cpus_devirtualize(&cpus) && !zpp_hotplug_any_offline();
    if (!done) {
        pr_err("a CPU cannot be devirtualized: the hypervisor's memory stays allocated\n");
        memory.count = 0;
    }
    return done;
}

/* Launches on every CPU, or on none. */
static int launch(void)
{
    int error;
    unsigned cpu;
    enum zpp_status status = prepare();
    if (status != ZPP_OK) /* the hypervisor's memory contains the detail */
        return zpp_report_failure(ZPP_NO_CPU, status, zpp_loader_detail(&cpus.loader, 0));
    status = zpp_cpus_launch(&cpus, &cpu);
    if (status == ZPP_OK) {
        zpp_core_log_print();
        return 0;
    }
    error = zpp_report_failure(cpu, status, zpp_cpus_detail(&cpus, cpu));
    devirtualize();
    return error;
}

static int __init commit(void)
{
    const enum zpp_status status = zpp_loader_commit();
    return status == ZPP_OK ? 0 : zpp_report_failure(ZPP_NO_CPU, status, "");
}

static int __init allocate_and_launch(void)
{
    int error;
    const enum zpp_status status = allocate();
    if (status != ZPP_OK)
        return zpp_report_failure(ZPP_NO_CPU, status, "");
    error = launch();
    if (!error) {
        error = keep ? zpp_hotplug_register(&cpus) : commit();
        if (error)
            devirtualize();
    }
    if (error)
        zpp_memory_free(&memory);
    return error;
}

/* Under one lock, so that no CPU comes or goes between the checks, the launch and the registration. */
static int __init load(void)
{
    int error = zpp_check_system();
    if (error)
        return error;
    if (!zpp_cpus_init(&cpus, keep ? cpu_possible_mask : cpu_online_mask))
        return zpp_report_failure(ZPP_NO_CPU, ZPP_NO_MEMORY, "");
    error = allocate_and_launch();
    if (error)
        zpp_cpus_free(&cpus);
    return error;
}

static void unload(void)
{
    mutex_lock(&lock);
    cpus_read_lock();
    if (memory.count != 0) {
        if (!cpus.launched || devirtualize())
            pr_info("unloaded: every CPU is devirtualized\n");
        zpp_memory_free(&memory);
        zpp_hotplug_unregister();
        zpp_cpus_free(&cpus);
    }
    cpus_read_unlock();
    mutex_unlock(&lock);
}

static void after_sleep(void)
{
    int error;
    mutex_lock(&lock);
    cpus_read_lock();
    if (memory.count != 0 && !cpus.launched) {
        error = zpp_check_system();
        if (!error)
            error = launch();
        if (error)
            pr_err("the machine woke up, and runs on without the hypervisor\n");
        else
            pr_info("launched again after the sleep: the hypervisor runs on %u CPUs\n",
                    num_online_cpus());
    }
    cpus_read_unlock();
    mutex_unlock(&lock);
}

/* The firmware, or another kernel, must start on CPUs that are not virtualized. */
static void before_restart(void)
{
    zpp_hotplug_bring_online();
    unload();
}

static const struct zpp_power_events power_events = {
    .before_sleep = zpp_hotplug_give_back,
    .after_sleep = after_sleep,
    .before_restart = before_restart,
};

static int __init load_and_report(void)
{
    int error;
    mutex_lock(&lock);
    cpus_read_lock();
    error = load();
    if (!error)
        pr_info("loaded: the hypervisor runs on %u CPUs\n", num_online_cpus());
    cpus_read_unlock();
    mutex_unlock(&lock);
    return error;
}

static int __init load_and_detach(void)
{
    int error = load_and_report();
    if (error)
        return error;
    if (num_possible_cpus() > cpus.count)
        pr_info(
            "CPUs plugged in later will run without the hypervisor (use keep=1 to include them)\n");
    pr_info("suspend to RAM and hibernation end the hypervisor (use keep=1 to have it again "
            "after the wake-up)\n");
    pr_info(
        "the hypervisor stays, the module does not: \"Operation not permitted\" means success\n");
    zpp_cpus_free(&cpus);
    return -EPERM;
}

/* Registers first, so that a sleep or restart during the launch is handled. */
static int __init load_and_keep(void)
{
    int error = zpp_power_register(&power_events);
    if (error)
        return error;
    error = load_and_report();
    if (error)
        zpp_power_unregister();
    else
        zpp_debugfs_add();
    return error;
}

static int __init load_client(void)
{
    int error;
    cpus_read_lock();
    error = zpp_check_client();
    cpus_read_unlock();
    if (error)
        return error;
    zpp_debugfs_add();
    pr_info("loaded: /sys/kernel/debug/zpp shows the hypervisor that already runs\n");
    return 0;
}

static int __init zpp_init(void)
{
    if (client && keep) {
        pr_err("not loaded: client=1 launches nothing, and keep=1 does; use only one of them\n");
        return -EINVAL;
    }
    if (client)
        return load_client();
    if (serial > ZPP_SERIAL_PORT_MAX) {
        pr_err("not loaded: serial=0x%x is not the I/O port of a UART (0 to 0xfff8)\n", serial);
        return -EINVAL;
    }
    return keep ? load_and_keep() : load_and_detach();
}

static void __exit zpp_exit(void)
{
    zpp_debugfs_remove();
    if (client) {
        pr_info("unloaded: the hypervisor stays\n");
        return;
    }
    unload();
    zpp_power_unregister();
}

module_init(zpp_init);
module_exit(zpp_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("zpp: loads a thin hypervisor under the running system");

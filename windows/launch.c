#include "launch.h"
#include "cpu.h"
#include "cpus.h"
#include "memory.h"

extern const uint8_t zpp_hypervisor_elf[], zpp_hypervisor_elf_end[]; /* hypervisor.S */

static uint64_t elf_size(void) { return (uint64_t)(zpp_hypervisor_elf_end - zpp_hypervisor_elf); }

/* The state of a launch, in nonpaged memory: it is used where page faults are not allowed. */
struct launch {
    const struct zpp_settings *settings;
    struct zpp_memory memory;
    struct zpp_loader loader;
    enum zpp_status status; /* of the last step */
    uint32_t cpu_count;
    uint32_t apic_ids[]; /* by CPU */
};

static struct launch *new_launch(const struct zpp_settings *settings, uint32_t cpus)
{
    struct launch *launch = ExAllocatePoolWithTag(
        NonPagedPoolNx, sizeof *launch + cpus * sizeof launch->apic_ids[0], ZPP_POOL_TAG);
    if (launch) {
        launch->settings = settings;
        launch->memory.count = 0;
        launch->loader.cpu_count = 0;
        launch->status = ZPP_OK;
        launch->cpu_count = cpus;
    }
    return launch;
}

/* ---- on each CPU */

static void record_apic_id(void *context, uint32_t cpu)
{
    struct launch *launch = context;
    launch->apic_ids[cpu] = zpp_cpu_apic_id();
}

static void prepare(void *context, uint32_t cpu)
{
    struct launch *launch = context;
    (void)cpu;
    const struct zpp_loader_request request = {
        .os = {&launch->memory, zpp_memory_virtual_of, zpp_memory_physical_of},
        .elf = zpp_hypervisor_elf,
        .elf_size = elf_size(),
        .ranges = launch->memory.ranges,
        .range_count = launch->memory.count,
        .cpu_count = launch->cpu_count,
        .apic_ids = launch->apic_ids,
        .serial_port = launch->settings->serial_port,
        .wait_for_debugger = launch->settings->wait_for_debugger,
        .visible = launch->settings->visible,
        .reset_after = launch->settings->reset_after,
    };
    launch->status = zpp_loader_prepare(&launch->loader, &request);
}

static void launch_cpu(void *context, uint32_t cpu)
{
    struct launch *launch = context;
    launch->status = zpp_loader_launch(&launch->loader, cpu);
}

static void commit(void *context, uint32_t cpu)
{
    struct launch *launch = context;
    (void)cpu;
    launch->status = zpp_loader_commit();
}

static void devirtualize(void *context, uint32_t cpu)
{
    struct launch *launch = context;
    launch->status = zpp_loader_devirtualize(&launch->loader, cpu);
}

/* ---- once */

/* Runs a step on CPU `cpu`. Returns 1 if it succeeded; otherwise 0, with the error in `result`. Only a
 * failed launch names the CPU. The detail is in the part of the hypervisor's memory that is not hidden. */
static int step(struct launch *launch, uint32_t cpu, zpp_cpu_function function,
                struct zpp_result *result)
{
    NTSTATUS status = zpp_cpus_run(cpu, function, launch);
    if (!NT_SUCCESS(status))
        zpp_result_windows_failed(result, status,
                                  "Windows did not let the loader run on every CPU");
    else if (launch->status != ZPP_OK)
        zpp_result_failed(result, function == launch_cpu ? cpu : ZPP_NO_CPU, launch->status,
                          zpp_loader_detail(&launch->loader, cpu));
    return NT_SUCCESS(status) && launch->status == ZPP_OK;
}

/* Devirtualizes from the last CPU to the first: the BSP must be last (boot_info.h). If a CPU stays
 * virtualized, the memory stays allocated. */
static int roll_back(struct launch *launch, uint32_t cpus)
{
    int done = 1;
    while (cpus-- != 0)
        done &= NT_SUCCESS(zpp_cpus_run(cpus, devirtualize, launch)) && launch->status == ZPP_OK;
    if (!done)
        launch->memory.count = 0;
    return done;
}

static int allocate(struct launch *launch, struct zpp_result *result)
{
    uint64_t pages = zpp_loader_pages(zpp_hypervisor_elf, elf_size(), launch->cpu_count);
    if (pages == 0) {
        zpp_result_failed(result, ZPP_NO_CPU, ZPP_BAD_ELF, "");
        return 0;
    }
    if (!zpp_memory_allocate(&launch->memory, pages)) {
        zpp_result_failed(result, ZPP_NO_CPU, ZPP_NO_MEMORY, "");
        return 0;
    }
    return 1;
}

static int prepare_all(struct launch *launch, struct zpp_result *result)
{
    for (uint32_t cpu = 0; cpu < launch->cpu_count; ++cpu)
        if (!step(launch, cpu, record_apic_id, result))
            return 0;
    return allocate(launch, result) && step(launch, 0, prepare, result);
}

/* A CPU that was added since the count would not be virtualized. */
static int same_cpus(const struct launch *launch, struct zpp_result *result)
{
    if (zpp_cpus_count() == launch->cpu_count)
        return 1;
    zpp_result_windows_failed(result, STATUS_RETRY,
                              "a CPU was added during the launch; load the driver again");
    return 0;
}

static int launch_all(struct launch *launch, struct zpp_result *result)
{
    uint32_t launched = 0;
    while (launched < launch->cpu_count && step(launch, launched, launch_cpu, result))
        ++launched;
    if (launched == launch->cpu_count && same_cpus(launch, result) &&
        step(launch, 0, commit, result))
        return 1;
    if (!roll_back(launch, launched))
        zpp_result_windows_failed(
            result, STATUS_INTERNAL_ERROR,
            "a CPU cannot be devirtualized; the hypervisor's memory stays allocated");
    return 0;
}

void zpp_launch(const struct zpp_settings *settings, struct zpp_result *result)
{
    if (zpp_cpu_is_held()) {
        zpp_result_already_running(result);
        return;
    }
    struct launch *launch = new_launch(settings, zpp_cpus_count());
    if (!launch) {
        zpp_result_failed(result, ZPP_NO_CPU, ZPP_NO_MEMORY, "");
        return;
    }
    if (prepare_all(launch, result) && launch_all(launch, result))
        zpp_result_launched(result, launch->cpu_count, zpp_cpu_is_amd(),
                            zpp_settings_fast_startup());
    else
        zpp_memory_free(&launch->memory);
    ExFreePoolWithTag(launch, ZPP_POOL_TAG);
}

/* Replaces cpu.c, the trampoline and the core: under Wine a driver runs in user mode, which cannot load
 * CR3. It checks the loader's data through the loader's page tables, as the core would. The serial port
 * in boot_info selects its behaviour:
 *
 *   0x10ss  status ss to PREPARE       0x20ss  status ss to LAUNCH on the last CPU
 *   0x30cc  the same, with ZPP_ENTRY_FAILED, and CPU cc stays virtualized
 *   other   success
 */
#include "cpu.h"
#include "kernel.h"
#include "trampoline.h"
#include "wine_kernel.h"
#include "zpp/hypercall.h"
#include "zpp/status.h"

#define CPUS_MAX 64u

static uint8_t virtualized[CPUS_MAX], committed;
static uint16_t behaviour;

unsigned zpp_cpu_physical_address_bits(void) { return 39; }
int zpp_cpu_has_large_nested_pages(void) { return 1; }
unsigned zpp_cpu_paging_levels(void) { return 4; }
const struct zpp_requirement *zpp_cpu_missing(enum zpp_group group)
{
    (void)group;
    return 0;
}
uint32_t zpp_cpu_apic_id(void) { return 2 * zpp_wine_cpu; }
void zpp_cpu_capture(struct zpp_cpu_state *state) { state->rflags = 2; }
void zpp_cpu_restore(const struct zpp_cpu_state *state) { (void)state; }
uint64_t zpp_cpu_interrupts_off(void) { return 0; }
void zpp_cpu_interrupts_restore(uint64_t rflags) { (void)rflags; }
int zpp_cpu_is_amd(void) { return 0; }
int zpp_cpu_is_held(void) { return virtualized[zpp_wine_cpu]; }

uint64_t zpp_cpu_hypercall(uint32_t number, struct zpp_hypercall_registers *registers)
{
    (void)registers; /* the loader's hypercalls have no arguments */
    if (!virtualized[zpp_wine_cpu] || committed)
        return ZPP_HYPERCALL_REFUSED;
    if (number == ZPP_HYPERCALL_COMMIT)
        committed = 1;
    DbgPrint("test: hypercall %lu on CPU %lu\n", number, zpp_wine_cpu);
    return ZPP_HYPERCALL_OK;
}

__asm__(".globl zpp_trampoline_start, zpp_trampoline_leave, zpp_trampoline_end\n"
        "zpp_trampoline_start: nop\n"
        "zpp_trampoline_leave: nop\n"
        "zpp_trampoline_end: nop\n");

/* Translates an address of the core. Wine's physical addresses equal its virtual addresses. */
static void *walk(uint64_t root, uint64_t address)
{
    uint64_t table = root;
    for (int shift = 39; shift >= 12; shift -= 9) {
        uint64_t entry = ((const uint64_t *)table)[(address >> shift) & 511];
        if (!(entry & 1))
            return NULL;
        table = entry & 0x000ffffffffff000ull;
    }
    return (void *)(table + address % ZPP_PAGE_SIZE);
}

static int matches_contract(const struct zpp_cpu_call *call, const struct zpp_boot_info *info)
{
    return info && info->magic == ZPP_BOOT_INFO_MAGIC && info->version == ZPP_BOOT_INFO_VERSION &&
           info->size == sizeof *info && info->cpu_count == zpp_wine_cpus() &&
           info->range_count > 1 && walk(call->core_cr3, call->core_call) == call &&
           walk(call->core_cr3, call->core_stack - 8) != NULL &&
           walk(call->core_cr3, call->entry) != NULL &&
           walk(call->core_cr3, info->trampoline_leave) == zpp_trampoline_leave &&
           *(const uint32_t *)walk(call->core_cr3, ZPP_CORE_BASE) == 0x464c457f;
}

uint64_t zpp_trampoline_call(struct zpp_cpu_call *call)
{
    const struct zpp_boot_info *info = walk(call->core_cr3, call->boot_info);
    if (!matches_contract(call, info) || call->cpu != zpp_wine_cpu)
        return ZPP_BAD_BOOT_INFO;
    behaviour = info->serial_port;
    uint32_t kind = behaviour >> 12, number = behaviour & 0xff;
    if ((kind == 1 && call->phase == ZPP_PHASE_PREPARE) ||
        (kind == 2 && call->phase == ZPP_PHASE_LAUNCH && call->cpu == info->cpu_count - 1)) {
        call->detail[0] = 's';
        return number;
    }
    if (kind == 3 && call->cpu == info->cpu_count - 1)
        return ZPP_ENTRY_FAILED;
    if (call->phase == ZPP_PHASE_LAUNCH)
        virtualized[call->cpu] = 1;
    return ZPP_OK;
}

void zpp_trampoline_unblock_nmi(void) {}

uint64_t zpp_trampoline_devirtualize(struct zpp_cpu_call *call)
{
    if (behaviour >> 12 == 3 && (behaviour & 0xff) == call->cpu)
        return ZPP_HYPERCALL_REFUSED;
    virtualized[call->cpu] = 0;
    DbgPrint("test: CPU %lu devirtualized\n", call->cpu);
    return ZPP_HYPERCALL_OK;
}

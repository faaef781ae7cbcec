#include "guest/memory.hpp"
#include "core/log.hpp"
#include "core/machine.hpp"
#include "lib/spinlock.hpp"
#include "x86/instructions.hpp"
#include "x86/msr.hpp"

namespace zpp::guest_memory {
namespace {

constinit Spinlock lock;
constinit Mtrrs mtrrs;
constinit NestedPaging tables;
constinit unsigned levels = 0;
constinit unsigned shown = 0;
constinit u64 tables_generation = 1;
constinit bool mtrrs_are_followed = false;

void* allocate() { return machine.allocate_page(); }
Hpa physical_of(const void* page) { return machine.physical_of(page); }
void* virtual_of(Hpa physical) { return machine.virtual_of(physical); }

bool mtrrs_present() { return (x86::cpuid(1).edx & bit(12)) != 0; }

void hide(void* all_hidden, Hpa first, u64 pages)
{
    *static_cast<bool*>(all_hidden) &= tables.hide(first, pages);
}

} // namespace

void protect(Gpa page) { tables.protect(page); }

bool is_hidden(Gpa address) { return machine.virtual_of(identity(address)) != nullptr; }

unsigned shown_bits() { return shown; }

bool reaches(Gpa address) { return address.value >> (12 + 9 * levels) == 0; }

Result build(const NestedPaging::Format& format, Types types, unsigned shown_bits)
{
    levels = format.levels;
    shown = shown_bits;
    bool all_hidden = true;
    machine.for_each_hidden_range(hide, &all_hidden);
    tables.set_format(format);
    tables.set_pages({allocate, physical_of, virtual_of});
    mtrrs_are_followed = types == Types::from_mtrrs && mtrrs_present();
    mtrrs.refresh(mtrrs_are_followed, x86::rdmsr);
    if (!all_hidden || !tables.build(mtrrs))
        return {ZPP_NO_MEMORY, "nested paging"};
    return {};
}

void allow_writes_to_protected_page(bool allowed)
{
    const LockGuard guard(lock);
    tables.allow_writes(allowed);
    __atomic_add_fetch(&tables_generation, 1, __ATOMIC_RELEASE);
}

Hpa root() { return tables.root(); }

std::optional<Hpa> build_open_root() { return tables.build_open_root(); }

void follow_mtrrs()
{
    const LockGuard guard(lock);
    if ((x86::rdmsr(x86::Msr::ia32_mtrr_def_type) & Mtrrs::enable) == 0)
        return;
    if (!mtrrs.refresh(true, x86::rdmsr))
        return;
    if (!tables.build(mtrrs))
        log::line("zpp: no memory left for nested page tables; some memory is now uncacheable");
    __atomic_add_fetch(&tables_generation, 1, __ATOMIC_RELEASE);
}

u64 generation() { return __atomic_load_n(&tables_generation, __ATOMIC_ACQUIRE); }

bool depends_on(x86::Msr msr)
{
    return mtrrs_are_followed && Mtrrs::is_mtrr(msr, mtrrs.variable_count());
}

} // namespace zpp::guest_memory

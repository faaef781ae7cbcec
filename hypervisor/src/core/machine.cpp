#include "core/machine.hpp"

namespace zpp {

constinit Machine machine;

bool Machine::adopt(const zpp_boot_info* info)
{
    if (info->magic != ZPP_BOOT_INFO_MAGIC || info->version != ZPP_BOOT_INFO_VERSION ||
        info->size != sizeof *info || info->range_count > ZPP_MEMORY_RANGES_MAX ||
        info->cpu_count == 0)
        return false;
    info_ = info;
    return true;
}

Vcpu& Machine::vcpu(u32 index) const
{
    return *reinterpret_cast<Vcpu*>(ZPP_CORE_BASE + info_->cpu_blocks_page * page_size +
                                    index * ZPP_CPU_BLOCK_SIZE);
}

void* Machine::allocate_page()
{
    if (heap_used_ == info_->heap_pages)
        return nullptr;
    return reinterpret_cast<void*>(ZPP_CORE_BASE + (info_->heap_page + heap_used_++) * page_size);
}

Hpa Machine::physical_of(const void* address) const
{
    const u64 offset = reinterpret_cast<u64>(address) - ZPP_CORE_BASE;
    u64 page = offset / page_size;
    for (u32 i = 0; i < info_->range_count; ++i) {
        if (page < info_->ranges[i].pages)
            return {info_->ranges[i].physical + page * page_size + offset % page_size};
        page -= info_->ranges[i].pages;
    }
    return {0};
}

void* Machine::virtual_of(Hpa address) const
{
    u64 page = 0;
    for (u32 i = 0; i < info_->range_count; ++i) {
        const zpp_memory_range& range = info_->ranges[i];
        const u64 offset = address - Hpa{range.physical};
        if (address >= Hpa{range.physical} && offset < range.pages * page_size)
            return reinterpret_cast<void*>(ZPP_CORE_BASE + page * page_size + offset);
        page += range.pages;
    }
    return nullptr;
}

bool Machine::is_above_1_mib() const
{
    for (u32 i = 0; i < info_->range_count; ++i)
        if (info_->ranges[i].physical < 0x100000)
            return false;
    return true;
}

void Machine::for_each_hidden_range(void (*hide)(void*, Hpa, u64), void* context) const
{
    u64 left = info_->calls_page;
    for (u32 i = 0; i < info_->range_count && left != 0; ++i) {
        const u64 pages = info_->ranges[i].pages < left ? info_->ranges[i].pages : left;
        hide(context, {info_->ranges[i].physical}, pages);
        left -= pages;
    }
}

} // namespace zpp

#include "guest/linear_memory.hpp"
#include "guest/windows.hpp"

namespace zpp {
namespace {

constexpr u64 present = bit(0), writable = bit(1), user = bit(2), accessed = bit(5);
constexpr u64 dirty = bit(6), large = bit(7), address_mask = bits(51, 12);
constexpr u32 code_present = 1, code_write = 2, code_user = 4, code_reserved = 8;
constexpr unsigned table_window = 1, data_window = 2;

} // namespace

u64 LinearMemory::read_entry(Gpa address, unsigned size)
{
    const u8* bytes = look_at(vcpu_, table_window, address);
    if (bytes == nullptr)
        return 0; // as the guest sees hidden memory
    u64 entry = 0;
    __builtin_memcpy(&entry, bytes, size);
    return entry;
}

u64 LinearMemory::reserved_bits(unsigned level, bool leaf) const
{
    if (!has_pae()) {
        if (level == 1 || !leaf)
            return 0;
        // PSE-36: bits 20:13 are address bits 39:32.
        const unsigned top = physical_address_bits_ < 40 ? physical_address_bits_ : 40;
        return bits(21, top - 32 + 13);
    }
    u64 reserved = bits(62, physical_address_bits_);
    if (!has(paging_.efer, x86::Efer::nxe))
        reserved |= bit(63);
    if (level == 2 && leaf)
        reserved |= bits(20, 13);
    return reserved;
}

// rights: the bits that all entries of the walk have set.
bool LinearMemory::is_allowed(u64 rights, bool write) const
{
    const bool user_page = (rights & user) != 0;
    if (user_ ? !user_page : user_page && has(paging_.cr4, x86::Cr4::smap))
        return false;
    return !write || (rights & writable) != 0 || (!user_ && !has(paging_.cr0, x86::Cr0::wp));
}

std::optional<Gpa> LinearMemory::fail(u32 address, u32 code, bool write)
{
    fault_ = {code | (write ? code_write : 0) | (user_ ? code_user : 0), address};
    return std::nullopt;
}

std::optional<Gpa> LinearMemory::translate(u32 address, bool write)
{
    if (!has(paging_.cr0, x86::Cr0::pg))
        return Gpa{address};
    const unsigned index_bits = has_pae() ? 9 : 10, size = has_pae() ? 8 : 4;
    u64 table = paging_.cr3 & bits(31, 12);
    if (has_pae()) {
        table = pdptes[address >> 30];
        if ((table & present) == 0)
            return fail(address, 0, write);
    }
    const bool has_large = has_pae() || has(paging_.cr4, x86::Cr4::pse);
    Gpa places[3]{};
    u64 entries[3]{};
    u64 rights = writable | user;
    unsigned level = 2;
    for (;; --level) {
        const u64 index = (address >> (12 + index_bits * (level - 1))) & (bit(index_bits) - 1);
        places[level] = {(table & address_mask) + index * size};
        const u64 entry = entries[level] = read_entry(places[level], size);
        if ((entry & present) == 0)
            return fail(address, 0, write);
        const bool leaf = level == 1 || (has_large && (entry & large) != 0);
        if ((entry & reserved_bits(level, leaf)) != 0)
            return fail(address, code_present | code_reserved, write);
        rights &= entry;
        if (leaf)
            break;
        table = entry;
    }
    if (!is_allowed(rights, write))
        return fail(address, code_present, write);
    for (unsigned i = 2; i >= level; --i) {
        const u64 wanted = accessed | (write && i == level ? dirty : 0);
        if ((entries[i] & wanted) != wanted)
            store_bits(vcpu_, places[i], static_cast<u32>(wanted));
    }
    const u64 offset = bit(12 + index_bits * (level - 1)) - 1;
    u64 base = entries[level] & address_mask & ~offset;
    if (!has_pae() && level == 2)
        base |= ((entries[2] >> 13) & 0xff) << 32;
    return Gpa{base | (address & offset)};
}

template <class Work> bool LinearMemory::for_each_page(u32 address, u32 size, bool write, Work work)
{
    for (u32 done = 0; done < size;) {
        const auto physical = translate(address + done, write);
        if (!physical)
            return false;
        const auto rest = static_cast<u32>(page_size - physical->offset_in_page());
        const u32 count = size - done < rest ? size - done : rest;
        work(*physical, done, count);
        done += count;
    }
    return true;
}

bool LinearMemory::read(u32 address, void* bytes, u32 size)
{
    return for_each_page(address, size, false, [&](Gpa physical, u32 done, u32 count) {
        const u8* source = look_at(vcpu_, data_window, physical);
        u8* target = static_cast<u8*>(bytes) + done;
        if (source != nullptr)
            __builtin_memcpy(target, source, count);
        else
            __builtin_memset(target, 0, count);
    });
}

bool LinearMemory::write(u32 address, const void* bytes, u32 size)
{
    return for_each_page(address, size, true, [&](Gpa physical, u32 done, u32 count) {
        store(vcpu_, physical, static_cast<const u8*>(bytes) + done, count);
    });
}

bool LinearMemory::visit(u32 address, u32 size, bool write)
{
    return for_each_page(address, size, write, [](Gpa, u32, u32) {});
}

bool LinearMemory::load_cr3(u32 value)
{
    paging_.cr3 = value;
    if (!has(paging_.cr0, x86::Cr0::pg) || !has_pae())
        return true;
    u64 loaded[4];
    for (unsigned i = 0; i < 4; ++i) {
        loaded[i] = read_entry({(value & bits(31, 5)) + i * 8}, 8);
        const u64 reserved = bits(63, physical_address_bits_) | bits(8, 5) | bits(2, 1);
        if ((loaded[i] & present) != 0 && (loaded[i] & reserved) != 0)
            return false;
    }
    __builtin_memcpy(pdptes, loaded, sizeof loaded);
    return true;
}

} // namespace zpp

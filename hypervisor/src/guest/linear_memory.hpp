// The guest's memory by linear address outside IA-32e mode, as the CPU itself accesses its tables
// and task-state segments: with the checks of paging, and the accessed and dirty flags (SDM Vol.
// 3A, 5.3, 5.4 and 5.6).
#pragma once
#include "core/vcpu.hpp"
#include "guest/page_walk.hpp"

namespace zpp {

struct PageFault {
    u32 code;
    u32 address;
};

class LinearMemory {
public:
    LinearMemory(Vcpu& vcpu, const GuestPaging& paging, unsigned physical_address_bits)
        : vcpu_{vcpu}, paging_{paging}, physical_address_bits_{physical_address_bits}
    {
    }

    u64 pdptes[4] = {}; // with PAE paging; the CPU has them in registers

    // Supervisor accesses; from CPL 3 with as_user(). False: fault() says why.
    [[nodiscard]] bool read(u32 address, void* bytes, u32 size);
    [[nodiscard]] bool write(u32 address, const void* bytes, u32 size);
    [[nodiscard]] bool can_read(u32 address, u32 size) { return visit(address, size, false); }
    [[nodiscard]] bool can_write(u32 address, u32 size) { return visit(address, size, true); }
    const PageFault& fault() const { return fault_; }
    void as_user(bool value) { user_ = value; }

    // As MOV to CR3. False if a PDPTE has a reserved bit set.
    [[nodiscard]] bool load_cr3(u32 value);

private:
    bool has_pae() const { return has(paging_.cr4, x86::Cr4::pae); }
    u64 read_entry(Gpa address, unsigned size);
    u64 reserved_bits(unsigned level, bool leaf) const;
    bool is_allowed(u64 rights, bool write) const;
    std::optional<Gpa> fail(u32 address, u32 code, bool write);
    std::optional<Gpa> translate(u32 address, bool write);
    template <class Work> bool for_each_page(u32 address, u32 size, bool write, Work work);
    bool visit(u32 address, u32 size, bool write);

    Vcpu& vcpu_;
    GuestPaging paging_;
    unsigned physical_address_bits_;
    bool user_ = false;
    PageFault fault_{};
};

} // namespace zpp

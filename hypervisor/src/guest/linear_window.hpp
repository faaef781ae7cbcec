// The linear window: maps a range of the guest's linear addresses in one piece, for an instruction
// of the host that reads it through a linear address. Each CPU has one, outside its block.
#pragma once
#include "core/vcpu.hpp"
#include "guest/page_walk.hpp"

namespace zpp {

class LinearWindow {
public:
    // Maps `bytes` from `start` read-only, until the first page that the guest does not have there.
    LinearWindow(Vcpu& vcpu, const GuestPaging& paging, Gva start, u64 bytes);
    ~LinearWindow();
    LinearWindow(const LinearWindow&) = delete;
    LinearWindow& operator=(const LinearWindow&) = delete;

    const u8* data() const { return vcpu_.linear_window + start_.offset_in_page(); }
    u64 bytes() const { return bytes_; } // that are mapped

private:
    Vcpu& vcpu_;
    Gva start_;
    u64 pages_ = 0;
    u64 bytes_ = 0;
};

} // namespace zpp

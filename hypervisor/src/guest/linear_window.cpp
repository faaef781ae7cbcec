#include "guest/linear_window.hpp"
#include "core/host_paging.hpp"
#include "guest/code.hpp"
#include "guest/memory.hpp"
#include "paging/nested_paging.hpp"

namespace zpp {

LinearWindow::LinearWindow(Vcpu& vcpu, const GuestPaging& paging, Gva start, u64 bytes)
    : vcpu_(vcpu), start_(start)
{
    const u64 offset = start.offset_in_page();
    const u64 end = bytes != 0 ? offset + bytes : 0;
    for (; pages_ < linear_window_pages && pages_ * page_size < end; ++pages_) {
        const auto physical = translate(vcpu, paging, start + pages_ * page_size);
        if (!physical || guest_memory::is_hidden(*physical))
            break;
        remap(vcpu.linear_entries + pages_, vcpu.linear_window + pages_ * page_size,
              identity(*physical).page(), Caching::write_back, false);
    }
    const u64 mapped = pages_ * page_size > offset ? pages_ * page_size - offset : 0;
    bytes_ = mapped < bytes ? mapped : bytes;
}

LinearWindow::~LinearWindow()
{
    for (u64 page = 0; page < pages_; ++page)
        unmap(vcpu_.linear_entries + page, vcpu_.linear_window + page * page_size);
}

} // namespace zpp

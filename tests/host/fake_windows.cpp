#include "fake_windows.hpp"
#include "core/host_paging.hpp"
#include "guest/memory.hpp"
#include <cstdlib>
#include <set>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace zpp {
namespace {

int guest_file = -1;
std::set<u64> hidden;
std::vector<unsigned> remapped;
const u8* linear_window;
unsigned mapped_linear_pages;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

} // namespace

bool guest_memory::is_hidden(Gpa address) { return hidden.contains(address.value / page_size); }

namespace {

constexpr std::size_t linear_size = test::FakeWindows::linear_pages * page_size;

bool is_linear(const void* page)
{
    return static_cast<const u8*>(page) >= linear_window &&
           static_cast<const u8*>(page) < linear_window + linear_size;
}

void show(const void* page, Hpa target)
{
    require(mmap(const_cast<void*>(page), page_size, PROT_READ, MAP_SHARED | MAP_FIXED, guest_file,
                 static_cast<off_t>(target.value)) == page);
}

} // namespace

void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable)
{
    require(target.value % page_size == 0);
    require(caching == Caching::write_back && !writable);
    if (is_linear(page)) {
        require(*entry == 0);
        *entry = target.value | 1;
        show(page, target);
        ++mapped_linear_pages;
        return;
    }
    const u64 in_block = reinterpret_cast<u64>(page) % ZPP_CPU_BLOCK_SIZE / page_size;
    require(in_block >= ZPP_CPU_WINDOW_PAGE);
    const auto number = static_cast<unsigned>(in_block - ZPP_CPU_WINDOW_PAGE);
    require(number < ZPP_CPU_WINDOWS);
    *entry = target.value;
    show(page, target);
    remapped.push_back(number);
}

void unmap(const void*) { std::abort(); } // of the commit, which these tests do not reach

void unmap(u64* entry, const void* page)
{
    require(is_linear(page) && *entry != 0);
    *entry = 0;
    require(mprotect(const_cast<void*>(page), page_size, PROT_NONE) == 0);
    --mapped_linear_pages;
}

namespace test {

FakeWindows::FakeWindows() : file_(memfd_create("guest", MFD_CLOEXEC))
{
    constexpr std::size_t size = pages * page_size;
    require(file_ >= 0 && ftruncate(file_, size) == 0);
    memory_ = static_cast<u8*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
    // Nothing is mapped in a block but the vCPU; twice the size has one that is aligned.
    reserved_ =
        mmap(nullptr, 2 * ZPP_CPU_BLOCK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory_ != MAP_FAILED && reserved_ != MAP_FAILED);
    const u64 block =
        (reinterpret_cast<u64>(reserved_) + ZPP_CPU_BLOCK_SIZE - 1) & ~(ZPP_CPU_BLOCK_SIZE - 1);
    vcpu_ = reinterpret_cast<Vcpu*>(block);
    require(mprotect(vcpu_, page_size, PROT_READ | PROT_WRITE) == 0);
    vcpu_->window_entries = entries_;
    linear_window_ =
        static_cast<u8*>(mmap(nullptr, linear_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    require(linear_window_ != MAP_FAILED);
    vcpu_->linear_window = linear_window_;
    vcpu_->linear_entries = linear_entries_;
    linear_window = linear_window_;
    mapped_linear_pages = 0;
    guest_file = file_;
    hidden.clear();
    remapped.clear();
}

FakeWindows::~FakeWindows()
{
    munmap(linear_window_, linear_size);
    munmap(reserved_, 2 * ZPP_CPU_BLOCK_SIZE);
    munmap(memory_, pages * page_size);
    close(file_);
    guest_file = -1;
}

void FakeWindows::hide(unsigned page) { hidden.insert(page); }

unsigned FakeWindows::linear_mapped() { return mapped_linear_pages; }

std::vector<unsigned> FakeWindows::take_remapped() { return std::exchange(remapped, {}); }

} // namespace test
} // namespace zpp

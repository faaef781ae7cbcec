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
std::set<unsigned> writable_windows;
std::vector<unsigned> remapped;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

} // namespace

bool guest_memory::is_hidden(Gpa address) { return hidden.contains(address.value / page_size); }

void remap(u64* entry, const void* page, Hpa target, Caching caching, bool writable)
{
    const u64 in_block = reinterpret_cast<u64>(page) % ZPP_CPU_BLOCK_SIZE / page_size;
    require(in_block >= ZPP_CPU_WINDOW_PAGE && target.value % page_size == 0);
    require(caching == Caching::write_back);
    const auto number = static_cast<unsigned>(in_block - ZPP_CPU_WINDOW_PAGE);
    require(number < ZPP_CPU_WINDOWS && !(writable && number == ZPP_CPU_WINDOWS - 1));
    *entry = target.value;
    require(mmap(const_cast<void*>(page), page_size, PROT_READ | (writable ? PROT_WRITE : 0),
                 MAP_SHARED | MAP_FIXED, guest_file, static_cast<off_t>(target.value)) == page);
    remapped.push_back(number);
    if (writable)
        writable_windows.insert(number);
    else
        writable_windows.erase(number);
}

void unmap(const void*) { std::abort(); } // of the commit, which these tests do not reach

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
    guest_file = file_;
    hidden.clear();
    writable_windows.clear();
    remapped.clear();
}

FakeWindows::~FakeWindows()
{
    munmap(reserved_, 2 * ZPP_CPU_BLOCK_SIZE);
    munmap(memory_, pages * page_size);
    close(file_);
    guest_file = -1;
}

const std::set<unsigned>& FakeWindows::writable() { return writable_windows; }

void FakeWindows::hide(unsigned page) { hidden.insert(page); }

std::vector<unsigned> FakeWindows::take_remapped() { return std::exchange(remapped, {}); }

} // namespace test
} // namespace zpp

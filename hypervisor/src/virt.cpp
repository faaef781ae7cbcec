#include "virt.hpp"
#include "svm/svm.hpp"
#include "vmx/vmx.hpp"

namespace zpp {
namespace {

constinit const Vendor* chosen = nullptr;

} // namespace

const Vendor* find_vendor()
{
    static const Vendor* const all[] = {&vmx::vendor, &svm::vendor};
    for (const Vendor* candidate : all)
        if (candidate->present())
            return chosen = candidate;
    return nullptr;
}

const Vendor& vendor() { return *chosen; }

} // namespace zpp

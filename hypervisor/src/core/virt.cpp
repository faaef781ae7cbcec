#include "core/virt.hpp"

namespace zpp {
namespace {

constinit const Vendor* chosen = nullptr;

} // namespace

void choose_vendor(const Vendor& found) { chosen = &found; }

const Vendor& vendor() { return *chosen; }

} // namespace zpp

#include "core/virt.hpp"

namespace zpp {
namespace {

constinit const Vendor* chosen = nullptr;

} // namespace

void choose_vendor(const Vendor& found) { chosen = &found; }

bool has_vendor() { return chosen != nullptr; }

const Vendor& vendor() { return *chosen; }

} // namespace zpp

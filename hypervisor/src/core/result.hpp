// Outcome of a set-up step: a status of the contract, and what it is about.
#pragma once
#include "zpp/status.h"

namespace zpp {

struct [[nodiscard]] Result {
    zpp_status status = ZPP_OK;
    const char* detail = ""; // "unrestricted guest", say

    bool ok() const { return status == ZPP_OK; }
};

} // namespace zpp

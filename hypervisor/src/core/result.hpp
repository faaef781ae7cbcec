// Result of a set-up step: a status from the loader contract, and its detail.
#pragma once
#include "zpp/status.h"

namespace zpp {

struct [[nodiscard]] Result {
    zpp_status status = ZPP_OK;
    const char* detail = ""; // for example "unrestricted guest"

    bool ok() const { return status == ZPP_OK; }
};

} // namespace zpp

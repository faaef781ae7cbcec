/*
 * Says whether zpp will run on a machine, from what its CPUs show: by the same table, and in the same
 * order, as a launch is refused.
 */
#ifndef ZPP_LOADER_DIAGNOSIS_H
#define ZPP_LOADER_DIAGNOSIS_H

#include "capture.h"

struct zpp_diagnosis {
    int known;              /* 0: a value that the answer depends on was not recorded */
    enum zpp_status status; /* ZPP_OK: zpp will run */
    const char *detail;     /* as the launch would say it; may be empty */
    const char *fix;        /* what usually helps; may be empty */
    uint32_t cpu;           /* the first CPU with this status */
    enum zpp_group vendor;  /* ZPP_FOR_VTX or ZPP_FOR_AMDV, if CPU 0 has either */
};

/* captures: of each CPU, the BSP first. */
struct zpp_diagnosis zpp_diagnose(const struct zpp_capture *const *captures, uint32_t count);

#endif

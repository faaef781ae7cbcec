/* Launches the hypervisor on every CPU, or on none. */
#ifndef ZPP_WINDOWS_LAUNCH_H
#define ZPP_WINDOWS_LAUNCH_H

#include "result.h"
#include "settings.h"

/* Runs at PASSIVE_LEVEL. The result's status is ZPP_STATUS_LAUNCHED, or the error; then no CPU is
 * virtualized. */
void zpp_launch(const struct zpp_settings *settings, struct zpp_result *result);

#endif

/* Takes every CPU, or leaves every CPU as it was. */
#ifndef ZPP_WINDOWS_LAUNCH_H
#define ZPP_WINDOWS_LAUNCH_H

#include "answer.h"
#include "settings.h"

/* At PASSIVE_LEVEL. The answer's status is ZPP_STATUS_HELD, or says why the machine is as before. */
void zpp_launch(const struct zpp_settings *settings, struct zpp_answer *answer);

#endif

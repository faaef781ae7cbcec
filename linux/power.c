#include "power.h"

#include <linux/notifier.h>
#include <linux/reboot.h>
#include <linux/suspend.h>
#include <linux/syscore_ops.h>

static const struct zpp_power_events *on;

static int sleep_state(struct notifier_block *block, unsigned long event, void *data)
{
    if (event == PM_POST_SUSPEND || event == PM_POST_HIBERNATION || event == PM_POST_RESTORE)
        on->after_sleep();
    return NOTIFY_DONE;
}

static int restart(struct notifier_block *block, unsigned long event, void *data)
{
    on->before_restart();
    return NOTIFY_DONE;
}

static struct notifier_block sleep_block = {.notifier_call = sleep_state};
static struct notifier_block restart_block = {.notifier_call = restart};

#ifdef ZPP_SYSCORE_WITH_DATA
static int suspend(void *data) { return on->before_sleep(); }
static const struct syscore_ops operations = {.suspend = suspend};
static struct syscore core = {.ops = &operations};
#else
static int suspend(void) { return on->before_sleep(); }
static struct syscore_ops core = {.suspend = suspend};
#define register_syscore register_syscore_ops
#define unregister_syscore unregister_syscore_ops
#endif

int zpp_power_register(const struct zpp_power_events *events)
{
    int error;
    on = events;
    error = register_pm_notifier(&sleep_block);
    if (error)
        return error;
    error = register_reboot_notifier(&restart_block);
    if (error) {
        unregister_pm_notifier(&sleep_block);
        return error;
    }
    register_syscore(&core);
    return 0;
}

void zpp_power_unregister(void)
{
    unregister_syscore(&core);
    unregister_reboot_notifier(&restart_block);
    unregister_pm_notifier(&sleep_block);
}

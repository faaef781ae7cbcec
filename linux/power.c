#define pr_fmt(format) "zpp: " format

#include "power.h"

#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/reboot.h>
#include <linux/suspend.h>

static void (*on_restart)(void);

static int refuse_sleep(struct notifier_block *block, unsigned long event, void *data)
{
    if (event != PM_SUSPEND_PREPARE && event != PM_HIBERNATION_PREPARE &&
        event != PM_RESTORE_PREPARE)
        return NOTIFY_DONE;
    pr_warn("cannot sleep while the hypervisor runs: unload it first (rmmod zpp)\n");
    return NOTIFY_BAD;
}

static int restart(struct notifier_block *block, unsigned long event, void *data)
{
    on_restart();
    return NOTIFY_DONE;
}

static struct notifier_block sleep_block = {.notifier_call = refuse_sleep};
static struct notifier_block restart_block = {.notifier_call = restart};

int zpp_power_register(void (*before_restart)(void))
{
    int error;
    on_restart = before_restart;
    error = register_pm_notifier(&sleep_block);
    if (error)
        return error;
    error = register_reboot_notifier(&restart_block);
    if (error)
        unregister_pm_notifier(&sleep_block);
    return error;
}

void zpp_power_unregister(void)
{
    unregister_reboot_notifier(&restart_block);
    unregister_pm_notifier(&sleep_block);
}

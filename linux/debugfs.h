/* /sys/kernel/debug/zpp: state, log, exits. */
#ifndef ZPP_LINUX_DEBUGFS_H
#define ZPP_LINUX_DEBUGFS_H

/* Without debugfs there are no files, which is not an error. */
void zpp_debugfs_add(void);
void zpp_debugfs_remove(void);

#endif

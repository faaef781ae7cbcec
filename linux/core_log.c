#include "core_log.h"
#include "hypercall.h"

#include <linux/printk.h>
#include <linux/string.h>

unsigned zpp_core_log_read(u64 *position, char chunk[ZPP_CORE_LOG_CHUNK])
{
    struct zpp_hypercall_registers registers = {.rbx = *position};
    enum zpp_hypercall_status status = zpp_hypercall(ZPP_HYPERCALL_READ_LOG, &registers);
    unsigned length;
    if (status == ZPP_HYPERCALL_GONE) {
        *position = registers.rbx;
        status = zpp_hypercall(ZPP_HYPERCALL_READ_LOG, &registers);
    }
    if (status != ZPP_HYPERCALL_OK)
        return 0;
    memcpy(chunk, &registers, ZPP_CORE_LOG_CHUNK);
    length = strnlen(chunk, ZPP_CORE_LOG_CHUNK);
    *position += length;
    return length;
}

void zpp_core_log_print(void)
{
    char line[200], chunk[ZPP_CORE_LOG_CHUNK];
    u64 position = 0;
    unsigned used = 0, length, i;
    while ((length = zpp_core_log_read(&position, chunk)) != 0) {
        for (i = 0; i < length; ++i) {
            if (chunk[i] != '\n')
                line[used++] = chunk[i];
            if (chunk[i] == '\n' || used == sizeof line) {
                printk(KERN_INFO "%.*s\n", (int)used, line);
                used = 0;
            }
        }
    }
}

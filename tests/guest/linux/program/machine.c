#include "commands.h"

/* tcdrain() of standard output: the machine would power off before the serial port has sent everything. */
int drain(void)
{
    enum { TCSBRK = 0x5409, STANDARD_OUTPUT = 1 };
    return syscall3(SYS_IOCTL, STANDARD_OUTPUT, TCSBRK, 1) == 0 ? 0 : -1;
}

static u8 cmos_read(u8 index)
{
    u8 value;
    __asm__ volatile("outb %b1, $0x70; inb $0x71, %b0" : "=a"(value) : "a"(index));
    return value;
}

static void cmos_write(u8 index, u8 value)
{
    __asm__ volatile("outb %b0, $0x70; movb %b1, %%al; outb %%al, $0x71"
                     :
                     : "a"(index), "r"(value));
}

/* CMOS memory survives a reset, and neither firmware nor Linux uses this byte. */
int booted(void)
{
    enum { FREE_BYTE = 0x7e, MARK = 0x5a };
    if (syscall3(SYS_IOPL, 3, 0, 0) != 0)
        return 2;
    const int before = cmos_read(FREE_BYTE) == MARK;
    cmos_write(FREE_BYTE, before ? 0 : MARK);
    return before;
}

/* As kmod's insmod. busybox's tries twice, and the second error hides the first. */
int load_module(const char *file, const char *words)
{
    const long opened = syscall3(SYS_OPEN, (long)file, 0, 0);
    const long result = opened < 0 ? opened : syscall3(SYS_FINIT_MODULE, opened, (long)words, 0);
    text("load: error ");
    number((u64)-result);
    end_line();
    return result == 0 ? 0 : -1;
}

static u64 length_of(const char *s)
{
    u64 length = 0;
    while (s[length])
        length++;
    return length;
}

/* Returns only if it fails. */
int start_kernel(const char *kernel, const char *initrd, const char *words)
{
    const long kernel_file = syscall3(SYS_OPEN, (long)kernel, 0, 0);
    const long initrd_file = syscall3(SYS_OPEN, (long)initrd, 0, 0);
    long result = syscall6(SYS_KEXEC_FILE_LOAD, kernel_file, initrd_file,
                           (long)length_of(words) + 1, (long)words, 0, 0);
    const long magic = 0xfee1dead, magic2 = 0x28121969, kexec = 0x45584543;
    if (result == 0)
        result = syscall3(SYS_REBOOT, magic, magic2, kexec);
    text("kexec: error ");
    number((u64)-result);
    end_line();
    return -1;
}

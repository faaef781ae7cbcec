/*
 * The test of the Bochs installation: an EFI program that divides and then powers the machine off.
 *
 * Debian's Bochs gets a 64-bit IDIV of a 128-bit dividend wrong (see bochs_fix.c). The program prints the
 * result to COM1, from inside the guest.
 *
 * It contains its own PE headers, so that any C compiler and linker on Linux can build it:
 * cc -nostdlib -static -no-pie -Wl,--oformat=binary,-Ttext=0,-e,0,--build-id=none -o divide.efi divide.S
 */
#define COM1 0x3f8
#define ALIGNMENT 0x200
#define SYSTEM_TABLE_RUNTIME_SERVICES 88
#define RUNTIME_SERVICES_RESET_SYSTEM 104
#define EFI_RESET_SHUTDOWN 2

        .intel_syntax noprefix
        .text
base:
        .ascii  "MZ"
        .org    0x3c
        .long   pe_signature - base
pe_signature:
        .ascii  "PE\0\0"
        .short  0x8664                  /* machine: x86-64 */
        .short  1                       /* sections */
        .long   0, 0, 0
        .short  section_table - optional_header
        .short  0x022e                  /* executable, large addresses, no debugging information */
optional_header:
        .short  0x20b                   /* PE32+ */
        .short  0
        .long   code_end - code         /* code */
        .long   0, 0                    /* initialized, uninitialized data */
        .long   code - base             /* entry point */
        .long   code - base             /* base of code */
        .quad   0                       /* image base: anywhere */
        .long   ALIGNMENT, ALIGNMENT    /* section, file alignment */
        .long   0, 0, 0, 0
        .long   code_end - base         /* image size */
        .long   code - base             /* header size */
        .long   0
        .short  10                      /* subsystem: EFI application */
        .short  0
        .quad   0, 0, 0, 0
        .long   0
        .long   6                       /* data directories, all empty: no relocations */
        .quad   0, 0, 0, 0, 0, 0
section_table:
        .ascii  ".text\0\0\0"
        .long   code_end - code, code - base
        .long   code_end - code, code - base
        .long   0, 0, 0
        .long   0x60000020              /* code, executable, readable */

        .org    ALIGNMENT
code:                                   /* rcx: image handle, rdx: system table */
        push    rbx
        sub     rsp, 32                 /* home area for the callee; aligns the stack */
        mov     rbx, rdx

        /* -(2^64 + 3) / 7: the quotient and the remainder -5 use both halves and the sign */
        mov     rax, -3
        mov     rdx, -2
        mov     rcx, 7
        idiv    rcx
        movabs  rcx, -2635249153387078802
        lea     rsi, wrong[rip]
        cmp     rax, rcx
        jne     print
        cmp     rdx, -5
        jne     print
        lea     rsi, right[rip]
print:
        lodsb
        test    al, al
        jz      power_off
        mov     ah, al
wait:   mov     dx, COM1 + 5
        in      al, dx
        test    al, 0x20                /* transmitter empty */
        jz      wait
        mov     al, ah
        mov     dx, COM1
        out     dx, al
        jmp     print

power_off:
        mov     rax, [rbx + SYSTEM_TABLE_RUNTIME_SERVICES]
        mov     ecx, EFI_RESET_SHUTDOWN
        xor     edx, edx
        xor     r8d, r8d
        xor     r9d, r9d
        call    [rax + RUNTIME_SERVICES_RESET_SYSTEM]
hang:   hlt
        jmp     hang

right:  .asciz  "\r\nzpp-bochs: IDIV is correct\r\n"
wrong:  .asciz  "\r\nzpp-bochs: IDIV is wrong\r\n"
        .balign ALIGNMENT
code_end:

;; @file
;  What an AP runs from real mode on, in the block of memory that CheckModes.c copies it to: faults
;  in real mode, then task switches in 32-bit protected mode, with and without paging. It records
;  what it sees after its code; CheckModes.c has the expected values in the same order.
;;

    DEFAULT ABS
    SECTION .text

    %include "Modes.inc"

    GLOBAL  ASM_PFX(ZppModesStart)
    GLOBAL  ASM_PFX(ZppModesEnd)
    ALIGN   16
ASM_PFX(ZppModesStart):
block_start:

; ---- real mode

    BITS 16
    cli
    jmp     near real_mode
    ALIGN   8
parameters:
msr:        dd 0                        ; an MSR whose RDMSR is #GP, or 0
exact:      dd 0                        ; as hardware, not QEMU's TCG

real_mode:
    mov     ax, cs
    mov     ds, ax
    mov     es, ax
    mov     ss, ax
    mov     sp, STACK_16
    PROGRESS 1
    xor     eax, eax
    mov     ax, cs
    shl     eax, 4
    mov     [O(base)], eax
    lea     edx, [eax + IVT]
    mov     [O(table) + 2], edx
    mov     word [O(table)], 0x3ff
    lidt    [O(table)]
    mov     word [IVT + 4 * 13], O(gp16)
    mov     [IVT + 4 * 13 + 2], cs
    mov     word [IVT + 4 * 6], O(ud16)
    mov     [IVT + 4 * 6 + 2], cs

    mov     ecx, [O(msr)]
    test    ecx, ecx
    jz      no_msr
gp16_here:
    rdmsr
no_msr:
ud16_here:
    db      0x0f, 0x01, 0xc1            ; VMCALL of nobody
    jmp     near to_protected_mode

gp16:
    mov     [R_GP16_SP], sp
    pop     ax
    sub     ax, O(gp16_here)
    mov     [R_GP16_IP], ax
    add     ax, O(gp16_here) + 2
    push    ax
    iret
ud16:
    mov     [R_UD16_SP], sp
    pop     ax
    sub     ax, O(ud16_here)
    mov     [R_UD16_IP], ax
    add     ax, O(ud16_here) + 3
    push    ax
    iret

to_protected_mode:
    PROGRESS 2
    mov     eax, [O(base)]
    mov     bx, O(gdt) + 8
add_base:
    add     [bx + 2], eax
    add     bx, 8
    cmp     bx, O(gdt) + SEL_LAST
    jbe     add_base
    lea     edx, [eax + DIRECTORY_1]
%macro SET_CR3 1
    mov     [O(%1) + 28], edx
%endmacro
    SET_CR3 tss_main
    lea     edx, [eax + DIRECTORY_2]
    SET_CR3 tss_paged
    lea     edx, [eax + O(gdt)]
    mov     [O(table) + 2], edx
    mov     word [O(table)], O(gdt_end) - O(gdt) - 1
    lgdt    [O(table)]
    lea     edx, [eax + O(idt)]
    mov     [O(table) + 2], edx
    mov     word [O(table)], O(idt_end) - O(idt) - 1
    lidt    [O(table)]
    mov     eax, cr0
    or      al, CR0_PE
    mov     cr0, eax
    jmp     dword SEL_CODE:O(protected_mode)

; ---- 32-bit protected mode

    BITS 32
protected_mode:
    mov     ax, SEL_DATA
    mov     ds, ax
    mov     es, ax
    mov     ss, ax
    xor     eax, eax
    mov     fs, ax
    mov     gs, ax
    lldt    ax
    mov     esp, STACK_MAIN
    mov     ax, SEL_MAIN
    ltr     ax
    PROGRESS 3

    mov     ebx, 0x12345678
    FAR_CALL SEL_CALLED
after_call:
    mov     [R_RETURN_EBX], ebx
    RECORD_EIP R_RETURN_EIP, [O(tss_main) + 32], after_call
    RECORD_BUSY R_RETURN_BUSY, SEL_CALLED
    RECORD_FLAG R_RETURN_NT, RFLAGS_NT

    PROGRESS 4
    FAR_JUMP SEL_GATE
    PROGRESS 5
ud_here:
    ud2
    PROGRESS 6
    mov     ax, 0xfff8
gp_here:
    mov     ds, ax
    PROGRESS 7
    int     0x20
after_int:
    PROGRESS 8
    FAR_CALL SEL_16
    PROGRESS 9
    cmp     dword [O(exact)], 0
    je      not_exact
    FAR_CALL SEL_BAD
    PROGRESS 10
    FAR_CALL SEL_TRAP
not_exact:
    PROGRESS 11
    mov     eax, cr4
    or      eax, CR4_PSE
    mov     cr4, eax
    mov     eax, [O(base)]
    add     eax, DIRECTORY_1
    mov     cr3, eax
    mov     eax, cr0
    or      eax, 0x80000000
    mov     cr0, eax
    FAR_CALL SEL_PAGED
    mov     eax, cr3
    mov     [R_PAGED_BACK], eax
    PROGRESS 12
pf_here:
    FAR_CALL SEL_NOT_MAPPED
    PROGRESS 13
stop:
    hlt
    jmp     stop

; ---- tasks; each waits for its next start behind its IRET

called:
    RECORD_TR R_CALL_TR
    RECORD_FLAG R_CALL_NT, RFLAGS_NT
    mov     eax, cr0
    and     eax, CR0_TS
    mov     [R_CALL_TS], eax
    movzx   eax, word [O(tss_called)]
    mov     [R_CALL_LINK], eax
    RECORD_BUSY R_CALL_OLD_BUSY, SEL_MAIN
    RECORD_BUSY R_CALL_NEW_BUSY, SEL_CALLED
    mov     ebx, 1
    iretd
    jmp     called

jumped:
    RECORD_BUSY R_JUMP_OLD_BUSY, SEL_MAIN
    RECORD_BUSY R_JUMP_NEW_BUSY, SEL_JUMPED
    RECORD_FLAG R_JUMP_NT, RFLAGS_NT
    FAR_JUMP SEL_MAIN
    jmp     jumped

ud_task:
    RECORD_EIP R_UD_EIP, [O(tss_main) + 32], ud_here
    mov     eax, [O(tss_main) + 36]
    and     eax, RFLAGS_RF
    mov     [R_UD_RF], eax
    add     dword [O(tss_main) + 32], 2
    iretd
    jmp     ud_task

gp_task:
    pop     dword [R_GP_CODE]
    RECORD_EIP R_GP_EIP, [O(tss_main) + 32], gp_here
    add     dword [O(tss_main) + 32], 2
    iretd
    jmp     gp_task

int_task:
    RECORD_EIP R_INT_EIP, [O(tss_main) + 32], after_int
    iretd
    jmp     int_task

task_16:
    mov     [R_TSS16_EAX], eax
    RECORD_TR R_TSS16_TR
    movzx   eax, word [O(tss_16)]
    mov     [R_TSS16_LINK], eax
    iretd
after_16:
    jmp     task_16

bad_task:                               ; DS is still null
    mov     ax, SEL_DATA
    mov     ds, ax
    movzx   eax, word [O(tss_16) + 14]
    sub     eax, O(after_16)
    mov     [R_TSS16_IP], eax
    iretd
    jmp     bad_task

trap_task:
    iretd
    jmp     trap_task

paged:
    mov     eax, cr3
    mov     [R_PAGED_CR3], eax
    iretd
    jmp     paged

; ---- handlers

db_handler:
    mov     eax, dr6
    and     eax, DR6_BT
    mov     [R_TRAP_DR6], eax
    RECORD_EIP R_TRAP_EIP, [esp], trap_task
    mov     eax, 0xffff0ff0
    mov     dr6, eax
    iretd

np_handler:                             ; in the new task, whose DS is null
    mov     ax, SEL_DATA
    mov     es, ax
    pop     eax
    mov     [es:R_BAD_CODE], eax
    mov     eax, [esp]
    sub     eax, O(bad_task)
    mov     [es:R_BAD_EIP], eax
    xor     eax, eax
    str     ax
    mov     [es:R_BAD_TR], eax
    iretd

pf_handler:
    pop     dword [R_PF_CODE]
    mov     eax, cr2
    mov     [R_PF_CR2], eax
    RECORD_TR R_PF_TR
    add     dword [esp], 7
    iretd

%assign vector 0
%rep 32
unexpected_ %+ vector:
    mov     eax, vector + 0x100
    jmp     unexpected
%assign vector vector + 1
%endrep
unexpected:
    mov     bx, SEL_DATA
    mov     ds, bx
    mov     [R_UNEXPECTED], eax
.halt:
    hlt
    jmp     .halt

; ---- tables

    ALIGN 8
base:       dd 0
table:      dw 0
            dd 0

    ALIGN 8
gdt:
    dq      0
    DESCRIPTOR 0, 0xffff, 0x9b, 0x40
    DESCRIPTOR 0, 0xffff, 0x93, 0x40
    DESCRIPTOR O(tss_main), 103, 0x89, 0
    DESCRIPTOR O(tss_called), 103, 0x89, 0
    DESCRIPTOR O(tss_jumped), 103, 0x89, 0
    DESCRIPTOR O(tss_ud), 103, 0x89, 0
    DESCRIPTOR O(tss_gp), 103, 0x89, 0
    DESCRIPTOR O(tss_int), 103, 0x89, 0
    DESCRIPTOR O(tss_16), 43, 0x81, 0
    DESCRIPTOR O(tss_bad), 103, 0x89, 0
    DESCRIPTOR 0, 0xffff, 0x13, 0x40
    DESCRIPTOR O(tss_trap), 103, 0x89, 0
    DESCRIPTOR O(tss_paged), 103, 0x89, 0
    dw      103, NOT_MAPPED & 0xffff
    db      NOT_MAPPED >> 16, 0x89, 0, 0
    dw      0, SEL_JUMPED, 0x8500, 0
gdt_end:

    ALIGN 8
idt:
%assign vector 0
%rep 33
  %if vector == 1
    INTERRUPT_GATE db_handler
  %elif vector == 6
    TASK_GATE SEL_UD
  %elif vector == 11
    INTERRUPT_GATE np_handler
  %elif vector == 13
    TASK_GATE SEL_GP
  %elif vector == 14
    INTERRUPT_GATE pf_handler
  %elif vector == 32
    TASK_GATE SEL_INT
  %else
    INTERRUPT_GATE unexpected_ %+ vector
  %endif
%assign vector vector + 1
%endrep
idt_end:

    ALIGN 8
tss_main:   TSS protected_mode, 0, 0, 0
tss_called: TSS called, STACK_MAIN + 0x40, SEL_DATA, 0
tss_jumped: TSS jumped, STACK_MAIN + 0x80, SEL_DATA, 0
tss_ud:     TSS ud_task, STACK_MAIN + 0xc0, SEL_DATA, 0
tss_gp:     TSS gp_task, STACK_MAIN + 0x100, SEL_DATA, 0
tss_int:    TSS int_task, STACK_MAIN + 0x140, SEL_DATA, 0
tss_bad:    TSS bad_task, STACK_MAIN + 0x180, SEL_ABSENT, 0
tss_trap:   TSS trap_task, STACK_MAIN + 0x1c0, SEL_DATA, 1
tss_paged:  TSS paged, STACK_MAIN + 0x200, SEL_DATA, 0
tss_16:
    times 7 dw 0
    dw      O(task_16), 2
    dw      0, 0, 0, 0, STACK_MAIN + 0x240, 0, 0, 0
    dw      SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA
    dw      0
ASM_PFX(ZppModesEnd):

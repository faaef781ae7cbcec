;; @file
;  The NMI handler of the checks of NMIs: calls ZppOnNmi(), and ends as that says.
;;

    DEFAULT REL
    SECTION .text

    EXTERN  ASM_PFX(ZppOnNmi)

SAVED_REGISTERS     EQU 8

    GLOBAL  ASM_PFX(ZppNmiEntry)
    ALIGN   16
ASM_PFX(ZppNmiEntry):
    sub     rsp, 8                          ; the address of the ending
    push    rax
    push    rcx
    push    rdx
    push    rbx
    push    r8
    push    r9
    push    r10
    push    r11
    mov     rbx, rsp
    lea     rcx, [rsp + (SAVED_REGISTERS + 1) * 8]
    and     rsp, -16
    sub     rsp, 32
    call    ASM_PFX(ZppOnNmi)
    mov     rsp, rbx
    shl     rax, 4
    lea     rcx, [endings]
    add     rax, rcx
    mov     [rsp + SAVED_REGISTERS * 8], rax
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rbx
    pop     rdx
    pop     rcx
    pop     rax
    ret

; By NMI_END of CheckNmi.c, 16 bytes apart.
    ALIGN   16
endings:
    iretq
    ALIGN   16
    sti
    iretq
    ALIGN   16
    mov     [rsp - 8], ss
    mov     ss, [rsp - 8]
    iretq
    ALIGN   16
    pushfq
    or      dword [rsp], 0x100              ; TF
    popfq
    iretq

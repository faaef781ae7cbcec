;; @file
;  The code of a puppet: an AP that a SIPI has started at this page, and that does what the BSP writes
;  into the page. Puppet.c copies it and fills in the page's address.
;;

; ZPP_PUPPET_PAGE; Puppet.c asserts these.
PAGE_STARTS         EQU 0x800
PAGE_STARTED_CS     EQU 0x804
PAGE_BEATS          EQU 0x808
PAGE_COMMAND        EQU 0x80c
PAGE_REGISTER       EQU 0x810
PAGE_VALUE          EQU 0x814
PAGE_HIGH           EQU 0x818
PAGE_X2APIC         EQU 0x81c
PAGE_APIC           EQU 0x820
PAGE_INTERRUPTS     EQU 0x824
PAGE_KEEP           EQU 0x828
PAGE_GDTR           EQU 0x830
PAGE_IDTR           EQU 0x838
PAGE_GDT            EQU 0x840
PAGE_FAULT          EQU 0x860
PAGE_STACK          EQU 0x1000

SELECTOR_CODE       EQU 8
SELECTOR_DATA       EQU 16

COMMAND_NONE        EQU 0
COMMAND_READ        EQU 1
COMMAND_WRITE       EQU 2
COMMAND_INTERRUPTS  EQU 3
COMMAND_SEND        EQU 4

X2APIC_MSR          EQU 0x800
APIC_EOI            EQU 0xb0

    SECTION .text

    BITS    16
    GLOBAL  ASM_PFX(ZppPuppetCode)
    ALIGN   16
ASM_PFX(ZppPuppetCode):
code:
    cli
    mov     ax, cs
    mov     ds, ax
    mov     [PAGE_STARTED_CS], ax
    lock inc dword [PAGE_STARTS]
    o32 lgdt [PAGE_GDTR]
    o32 lidt [PAGE_IDTR]
    movzx   ebx, ax
    shl     ebx, 4                  ; the page's address
    mov     eax, cr0
    or      al, 1
    mov     cr0, eax
    lea     eax, [ebx + (protected - code)]
    mov     [PAGE_STACK - 8], eax
    mov     word [PAGE_STACK - 4], SELECTOR_CODE
    jmp     far dword [PAGE_STACK - 8]

    BITS    32
protected:
    mov     ax, SELECTOR_DATA
    mov     ds, ax
    mov     es, ax
    mov     ss, ax
    lea     esp, [ebx + PAGE_STACK]

beat:
    inc     dword [ebx + PAGE_BEATS]
    mov     eax, [ebx + PAGE_COMMAND]
    cmp     eax, COMMAND_READ
    je      read
    cmp     eax, COMMAND_WRITE
    je      write_and_tell
    cmp     eax, COMMAND_INTERRUPTS
    je      interrupts
    cmp     eax, COMMAND_SEND
    je      send
    pause
    jmp     beat

read:
    mov     ecx, [ebx + PAGE_REGISTER]
    cmp     dword [ebx + PAGE_X2APIC], 0
    jne     .x2apic
    add     ecx, [ebx + PAGE_APIC]
    mov     eax, [ecx]
    jmp     .done
.x2apic:
    shr     ecx, 4
    add     ecx, X2APIC_MSR
    rdmsr
.done:
    mov     [ebx + PAGE_VALUE], eax
    jmp     done

send:                               ; may stop this CPU
    mov     dword [ebx + PAGE_COMMAND], COMMAND_NONE
    call    write
    jmp     beat

write_and_tell:
    call    write
    jmp     done

write:
    mov     ecx, [ebx + PAGE_REGISTER]
    mov     eax, [ebx + PAGE_VALUE]
    mov     edx, [ebx + PAGE_HIGH]
    jmp     write_apic

interrupts:
    sti
    nop
    nop
    nop
    nop
    cli
done:
    mov     dword [ebx + PAGE_COMMAND], COMMAND_NONE
    jmp     beat

; EDX:EAX to the register ECX
write_apic:
    cmp     dword [ebx + PAGE_X2APIC], 0
    jne     .x2apic
    add     ecx, [ebx + PAGE_APIC]
    mov     [ecx], eax
    ret
.x2apic:
    shr     ecx, 4
    add     ecx, X2APIC_MSR
    wrmsr
    ret

; One entry for each vector, 8 bytes apart
    ALIGN   8
    GLOBAL  ASM_PFX(ZppPuppetEntries)
ASM_PFX(ZppPuppetEntries):
%assign vector 0
%rep 32
    ALIGN   8
    push    byte vector
    jmp     near fault
%assign vector vector + 1
%endrep

    ALIGN   8
    GLOBAL  ASM_PFX(ZppPuppetInterrupt)
ASM_PFX(ZppPuppetInterrupt):
    pushad
    inc     dword [ebx + PAGE_INTERRUPTS]
    cmp     dword [ebx + PAGE_KEEP], 0
    jne     .kept
    mov     ecx, APIC_EOI
    xor     eax, eax
    xor     edx, edx
    call    write_apic
.kept:
    popad
    iretd

fault:
    pop     eax
    inc     eax
    mov     [ebx + PAGE_FAULT], eax
.halt:
    cli
    hlt
    jmp     .halt

    GLOBAL  ASM_PFX(ZppPuppetCodeEnd)
ASM_PFX(ZppPuppetCodeEnd):

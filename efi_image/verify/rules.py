"""Every rule that verify checks. docs/reference/verify.md lists this table (`markdown`).

The letter says what the rule is about: D the disk, M the MBR, G the GPT, F the FAT volume,
B the boot path and its PE files, C zpp.conf, S signatures. A number is never used again for
another rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A numbered rule: what is wrong where it is broken, the consequence, and the fix.

    `repair` is what `--fix` does, '' if it never can; `fix` is what the user can do where it
    cannot, '' if it always can. It is a command where there is one, with IMAGE and N for the
    image and the partition's number.
    """

    code: str
    severity: Severity
    title: str
    why: str
    fix: str
    repair: str = ""


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
_NEW_IMAGE = "create the image again, for example with `zpp-image make`"
_NEW_TABLE = "create the partition table again"
_COPY_OFF = "copy the files off (`zpp-image extract IMAGE --to DIR`) and create the image again"
_FSCK = "check the volume with `fsck.fat -n`"
_OTHERS_FIRST = "fix the other findings first, then run `zpp-image verify --fix IMAGE` again"
_LABEL = "set the label again with `fatlabel` or `mlabel`"
IN_ISO = "create the ISO again; a repair would change what the ISO's own checksums cover"
_EFI_ENTRY = "create the ISO with a UEFI entry: `xorriso -as mkisofs -e ESP.IMG -no-emul-boot ...`"
_FROM_OTHER = "rewrites both tables from the valid one"

RULES: tuple[Rule, ...] = (
    # ---- disk
    Rule("ZPP-D101", _E, "there is neither a partition table nor a FAT volume",
         "the firmware finds nothing to start",
         "create a bootable image with `zpp-image make`"),
    Rule("ZPP-D102", _E, "there is no FAT volume to boot from",
         "OVMF starts nothing; UEFI requires FAT",
         "add an EFI system partition and format it with FAT"),
    Rule("ZPP-D103", _W, "no partition has the type EFI system partition",
         "UEFI looks for one; OVMF starts the FAT volume all the same", "`sgdisk -t N:EF00 IMAGE`"),
    Rule("ZPP-D104", _E, "the partition table was made for another sector size than the medium's",
         "OVMF does not find the table",
         "create the image with `zpp-image make --sector-size SIZE`"),
    Rule("ZPP-D105", _N, "there is more than one EFI system partition",
         "OVMF starts the first; other firmware may start another",
         "keep one, change the type of the others: `sgdisk -t N:0700 IMAGE`"),
    Rule("ZPP-D106", _W, "the ISO's El Torito catalog has no usable UEFI entry",
         "UEFI does not start it from optical media; OVMF ignores only the platform's number",
         _EFI_ENTRY),
    Rule("ZPP-D107", _W, "firmware skips an entry for EFI in the ISO's El Torito catalog",
         "OVMF starts only the other entries from optical media", _EFI_ENTRY),
    # ---- MBR
    Rule("ZPP-M101", _E, "the disk has a GPT but no protective MBR",
         "OVMF ignores the GPT", "remove the partitions that the MBR has instead",
         "writes a protective MBR"),
    Rule("ZPP-M102", _E, "the protective partition does not start at sector 1",
         "OVMF ignores the GPT", "", "sets its start to 1"),
    Rule("ZPP-M103", _W, "the protective partition's size is not the disk's",
         "tools complain; OVMF starts the disk", _OTHERS_FIRST, "sets its size"),
    Rule("ZPP-M104", _W, "the MBR is hybrid: it has partitions beside the protective one",
         "OVMF uses the GPT, but other systems may use the MBR",
         "remove the other partitions from the MBR"),
    Rule("ZPP-M105", _N, "a record of the protective MBR is marked active",
         "UEFI requires 0 here, but a BIOS may need the mark; OVMF starts the disk",
         "leave it, or clear it with `parted IMAGE disk_set pmbr_boot off`"),
    Rule("ZPP-M106", _W, "an unused record of the protective MBR is not empty",
         "tools take it for a partition", "", "clears the record"),
    Rule("ZPP-M201", _E, "MBR partitions overlap",
         "writing to one destroys the other; OVMF ignores all partitions", _NEW_TABLE),
    Rule("ZPP-M202", _E, "an MBR partition ends beyond the disk",
         "OVMF ignores all partitions",
         "write the image to a larger medium, or shrink the partition"),
    Rule("ZPP-M203", _N, "verify cannot follow the chain of logical partitions",
         "its volumes were not checked", "use primary partitions or a GPT"),
    Rule("ZPP-M204", _N, "no MBR partition has the type EF (EFI system partition)",
         "UEFI looks for one; OVMF starts the FAT volume all the same",
         "`sfdisk --part-type IMAGE N ef`"),
    Rule("ZPP-M205", _N, "there is a leftover GPT beside the MBR",
         "OVMF ignores it, but some tools show its partitions instead", "",
         "erases the headers of the leftover GPT"),
    # ---- GPT
    Rule("ZPP-G101", _E, "the primary GPT header is missing",
         "OVMF uses the backup, and writes this copy again", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G102", _E, "the CRC of the primary GPT header is wrong",
         "OVMF uses the backup, and writes this copy again", _NEW_TABLE,
         _FROM_OTHER + ", or corrects the CRC"),
    Rule("ZPP-G103", _E, "the primary GPT header contradicts itself",
         "OVMF uses the backup, and writes this copy again", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G104", _E, "the CRC of the primary GPT entries is wrong",
         "OVMF uses the backup, and writes this copy again", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G105", _W, "the GPT reserves less than 16 KiB for its entries",
         "the UEFI specification requires that much", _NEW_TABLE),
    Rule("ZPP-G106", _W, "the GPT header has an unknown revision",
         "OVMF 2026.08 uses the other copy of the table, 2022.11 ignores the field", _NEW_TABLE),
    Rule("ZPP-G111", _E, "the backup GPT header is missing",
         "one bad sector loses the table", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G112", _E, "the CRC of the backup GPT header is wrong",
         "one bad sector loses the table", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G113", _E, "the backup GPT header contradicts itself",
         "one bad sector loses the table", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G114", _E, "the CRC of the backup GPT entries is wrong",
         "one bad sector loses the table", _NEW_TABLE, _FROM_OTHER),
    Rule("ZPP-G115", _E, "the backup GPT header is not in the last sector",
         "the image was written to a larger medium, and tools complain",
         "`sgdisk -e IMAGE`", "moves it to the last sector"),
    Rule("ZPP-G116", _E, "the primary and the backup GPT differ",
         "OVMF uses the primary, but tools may use the backup", _NEW_TABLE,
         "copies the primary, which firmware uses, to the backup"),
    Rule("ZPP-G117", _E, "the disk is shorter than its GPT says",
         "the image is truncated, or the medium is too small",
         "write the whole image again, to a medium that is large enough",
         "moves the backup to the last sector if no partition is cut off"),
    Rule("ZPP-G201", _E, "GPT partitions overlap",
         "writing to one destroys the other; OVMF ignores both", _NEW_TABLE),
    Rule("ZPP-G202", _E, "a GPT partition lies outside the usable sectors",
         "OVMF ignores the partition", _NEW_TABLE),
    Rule("ZPP-G203", _E, "a GPT partition ends before it starts",
         "OVMF ignores the partition", _NEW_TABLE),
    Rule("ZPP-G204", _W, "two GPT partitions have the same GUID",
         "a boot option that names the GUID may start either",
         "give one a new GUID: `sgdisk -u N:R IMAGE`"),
    Rule("ZPP-G205", _N, "a GPT partition is not aligned to 1 MiB",
         "writing to flash media is slow", "create the partition again with its start aligned"),
    # ---- FAT: boot sector
    Rule("ZPP-F101", _E, "the boot sector has no signature 55 AA",
         "OVMF starts it, but the specification requires the signature", _NEW_IMAGE,
         "writes it if the other fields are valid"),
    Rule("ZPP-F102", _E, "the boot sector does not start with a jump instruction",
         "OVMF starts it, but the specification requires the jump", "", "writes one"),
    Rule("ZPP-F103", _E, "the sector size is not valid for FAT",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F104", _E, "the cluster size is not valid for FAT",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F105", _E, "there are no reserved sectors",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F106", _E, "there is no FAT",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F107", _E, "the size of the root directory does not match the FAT type",
         "readers disagree about the volume's type; OVMF starts it", _NEW_IMAGE),
    Rule("ZPP-F108", _E, "the number of sectors is missing, or two fields contradict each other",
         "OVMF does not mount the volume, or readers disagree about its size", _NEW_IMAGE),
    Rule("ZPP-F109", _E, "the volume is larger than its partition",
         "files at its end are lost; OVMF starts a program that is not cut off",
         "write the whole image again"),
    Rule("ZPP-F110", _E, "the media byte is not valid for FAT",
         "OVMF does not mount the volume", "", "writes the one in FAT[0], or F8"),
    Rule("ZPP-F111", _E, "a FAT has too few entries for the clusters",
         "the last clusters cannot be used; OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F112", _W, "the geometry (heads, sectors per track) is 0",
         "mtools refuses the volume; OVMF starts it", "",
         "writes 255 heads and 63 sectors per track"),
    Rule("ZPP-F113", _W, "the field for hidden sectors is not the partition's start",
         "boot code for a BIOS reads from the wrong place; OVMF ignores the field", "",
         "writes the start"),
    Rule("ZPP-F114", _W, "the type string is not the type that the cluster count gives",
         "some readers trust the string; OVMF ignores it", "", "writes the correct string"),
    Rule("ZPP-F115", _E, "the FAT32 version is not 0.0",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F116", _E, "the root directory's first cluster does not exist",
         "no file is found", _NEW_IMAGE),
    Rule("ZPP-F117", _W, "the volume is marked as not cleanly unmounted",
         "systems check it at every start", _OTHERS_FIRST,
         "clears the mark once nothing else is wrong"),
    Rule("ZPP-F118", _N, "there is only one FAT",
         "one bad sector loses files; OVMF starts it", _NEW_IMAGE),
    Rule("ZPP-F119", _W, "clusters are larger than 32 KiB",
         "the specification warns of them; OVMF starts it", _NEW_IMAGE),
    Rule("ZPP-F121", _E, "a FAT32 volume has fewer than 65,525 clusters",
         "OVMF and mtools refuse it, because the cluster count alone decides the type",
         "make the volume larger, or use FAT16; `zpp-image make` picks the type"),
    Rule("ZPP-F122", _W, "the cluster count is within 16 of a limit between FAT types",
         "readers that count differently by a few take it for another type", _NEW_IMAGE),
    Rule("ZPP-F123", _E, "a FAT16 boot sector has too many clusters for FAT16",
         "readers take it for FAT32, because the cluster count alone decides the type", _NEW_IMAGE),
    Rule("ZPP-F124", _E, "the volume has no clusters",
         "OVMF does not mount the volume", _NEW_IMAGE),
    Rule("ZPP-F125", _W, "FAT's sector size is not the disk's",
         "Linux does not mount a volume with smaller sectors than the disk's; OVMF starts both",
         "create the image with `zpp-image make --sector-size SIZE`"),
    Rule("ZPP-F126", _N, "there are too many clusters for verify",
         "the cluster chains were not checked", _FSCK),
    Rule("ZPP-F127", _E, "mirroring of the FATs is off",
         "OVMF does not boot it, whichever FAT is active", _NEW_IMAGE),
    Rule("ZPP-F131", _E, "the boot sector is unusable, but its backup is valid",
         "OVMF does not mount the volume", "", "copies the backup"),
    Rule("ZPP-F132", _E, "the EFI system partition is not formatted with FAT",
         "OVMF starts nothing; UEFI requires FAT",
         "format it with FAT (`mkfs.fat`), which erases it, and copy the files to it"),
    # ---- FAT: tables
    Rule("ZPP-F201", _E, "FAT[0] does not contain the media byte",
         "tools report a damaged volume; OVMF starts it", "", "writes it"),
    Rule("ZPP-F202", _W, "FAT[1] is not an end-of-chain mark",
         "tools report a damaged volume; OVMF starts it", "", "writes one"),
    Rule("ZPP-F203", _E, "the FATs differ",
         "readers of the second FAT see other files", _COPY_OFF,
         "copies the first if its chains are valid"),
    Rule("ZPP-F204", _W, "clusters are in use but belong to no file",
         "space is lost", _OTHERS_FIRST, "frees them if every directory can be read"),
    Rule("ZPP-F205", _N, "clusters are marked bad",
         "the medium had faults there", "replace the medium, or ignore the note in an image file"),
    Rule("ZPP-F206", _E, "a chain leads to a cluster that does not exist",
         "the rest of the file cannot be read", _COPY_OFF),
    Rule("ZPP-F207", _E, "a chain is a loop",
         "reading the file never ends", _COPY_OFF),
    Rule("ZPP-F208", _E, "two chains share clusters",
         "one of the files contains the other's data", _COPY_OFF),
    Rule("ZPP-F209", _E, "a chain leads to a free cluster",
         "the end of the file is lost, or will soon be overwritten", _COPY_OFF),
    Rule("ZPP-F210", _E, "a chain leads to a cluster that is marked bad",
         "the file cannot be read there", _COPY_OFF),
    # ---- FAT: FSInfo and backup
    Rule("ZPP-F301", _W, "the FSInfo sector is missing",
         "systems count the free space at every mount", _NEW_IMAGE, "writes it"),
    Rule("ZPP-F302", _W, "FSInfo's count of free clusters is wrong",
         "systems show the wrong free space", "", "writes the correct count"),
    Rule("ZPP-F303", _W, "FSInfo's next free cluster does not exist",
         "systems search for free space in the wrong place", "", "writes a valid one"),
    Rule("ZPP-F304", _W, "the backup boot sector differs from the boot sector",
         "a repair from the backup would damage the volume", _OTHERS_FIRST,
         "copies the boot sector"),
    Rule("ZPP-F305", _W, "there is no backup boot sector",
         "one bad sector loses the volume", "", "writes one to sector 6"),
    Rule("ZPP-F306", _N, "there is no room for a backup boot sector",
         "one bad sector loses the volume", _NEW_IMAGE),
    # ---- FAT: directories
    Rule("ZPP-F401", _E, "a file's first cluster does not exist",
         "the file cannot be read", _COPY_OFF),
    Rule("ZPP-F402", _W, "a file has more clusters than its size needs",
         "space is lost", "copy the file, delete it and copy it back"),
    Rule("ZPP-F403", _E, "a file has fewer clusters than its size needs",
         "the end of the file is lost", "copy the file to the volume again"),
    Rule("ZPP-F404", _W, "an empty file has clusters",
         "space is lost", "copy the file to the volume again"),
    Rule("ZPP-F405", _E, "a directory's `.` is missing or wrong",
         "tools report a damaged directory", _COPY_OFF,
         "writes its cluster if the entry exists"),
    Rule("ZPP-F406", _E, "a directory's `..` is missing or wrong",
         "paths with `..` lead to the wrong directory", _COPY_OFF,
         "writes its cluster if the entry exists"),
    Rule("ZPP-F407", _E, "an 8.3 name has characters that are not allowed",
         "the file cannot be opened by its name", "rename the file"),
    Rule("ZPP-F408", _E, "two entries of a directory have the same 8.3 name",
         "one of the files cannot be opened", "rename one of them"),
    Rule("ZPP-F409", _E, "two long names of a directory differ only in case",
         "one of the files cannot be opened", "rename one of them"),
    Rule("ZPP-F410", _W, "long-name records belong to no file",
         "the file has only its 8.3 name, so its long path does not exist", "rename the file"),
    Rule("ZPP-F411", _W, "a long name is not allowed on FAT",
         "Windows cannot open the file", "rename the file"),
    Rule("ZPP-F412", _W, "a volume label is superfluous, misplaced or has a file's fields",
         "systems disagree about the label", _LABEL),
    Rule("ZPP-F413", _W, "the labels in the boot sector and in the root directory differ",
         "systems disagree about the label", "",
         "copies the root directory's label to the boot sector"),
    Rule("ZPP-F414", _E, "a directory has more than 65,536 entries",
         "FAT allows no more", "divide the files among more directories"),
    Rule("ZPP-F415", _W, "a directory's entry has a size other than 0",
         "some tools report a damaged volume", "", "writes 0"),
    Rule("ZPP-F416", _N, "there are more or deeper directories than verify follows",
         "the rest was not checked", _FSCK),
    Rule("ZPP-F417", _W, "entries follow the end mark of a directory",
         "a damaged byte hides files, and some systems still show them",
         "check the volume with `fsck.fat -n` before anything writes to it"),
    Rule("ZPP-F418", _W, "a volume label has characters that are not allowed",
         "tools report a damaged volume", _LABEL),
    # ---- FAT: cross-check
    Rule("ZPP-F501", _W, "an independent reader (pyfatfs) reads something else",
         "other systems may disagree as well", _FSCK),
    Rule("ZPP-F502", _N, "the cross-check was not possible",
         "no independent reader read the files", _FSCK),
    # ---- boot path
    Rule("ZPP-B101", _E, "no volume has an \\EFI\\BOOT\\BOOT*.EFI",
         "UEFI starts removable media only by that name, and so does OVMF",
         "create the image with the program: `zpp-image make OUTPUT --boot FILE`"),
    Rule("ZPP-B102", _W, "the boot path is not in upper case",
         "OVMF ignores case, but other firmware might not", "rename it to upper case"),
    Rule("ZPP-B103", _E, "the boot program is for another machine than its name says",
         "OVMF does not start it", "replace it with a program for that machine"),
    Rule("ZPP-B104", _E, "the boot program is not a UEFI application",
         "OVMF does not start it by that path",
         "replace it with a UEFI application"),
    Rule("ZPP-B105", _E, "the program's relocations are stripped",
         "OVMF starts it only if the memory at its one address is free",
         "link it without /FIXED"),
    Rule("ZPP-B106", _W, "the program's sections do not fit together",
         "OVMF starts it, with one section over the other", "link it again"),
    Rule("ZPP-B107", _E, "the program is truncated",
         "OVMF does not load it", "copy it to the volume again"),
    Rule("ZPP-B108", _E, "the program is not a PE file that UEFI can load",
         "OVMF does not load it", "replace it with a UEFI program"),
    Rule("ZPP-B109", _N, "the program's sections are not aligned to 4 KiB pages",
         "OVMF starts it; firmware that protects memory may refuse to load it",
         "link it with /ALIGN:4096"),
    Rule("ZPP-B110", _E, "there is no boot program for a machine given with --arch",
         "UEFI starts nothing on that machine",
         "create the image with its program as well: `zpp-image make OUTPUT --boot FILE`"),
    Rule("ZPP-B111", _W, "UEFI cannot load a file that is named as a program",
         "OVMF does not load it", "replace it with a UEFI program, or rename it"),
    Rule("ZPP-B112", _N, "sections of the program are both writable and executable",
         "OVMF starts it; firmware that protects memory may refuse to load it",
         "link it with separate sections"),
    Rule("ZPP-B113", _E, "an entry in \\loader\\entries names a file that does not exist",
         "the entry does not start", "copy the file there, or correct or delete the entry"),
    # ---- zpp.conf
    Rule("ZPP-C101", _E, "zpp.conf has a mistake",
         "ZppBoot ignores the line", "correct the line"),
    Rule("ZPP-C102", _E, "the driver that zpp.conf names does not exist",
         "the system starts without the hypervisor",
         "copy ZppDxe.efi there, or create the image with `zpp-image make`"),
    Rule("ZPP-C103", _E, "UEFI cannot load the driver that zpp.conf names",
         "the system starts without the hypervisor",
         "copy ZppDxe.efi there, or create the image with `zpp-image make`"),
    Rule("ZPP-C104", _E, "a program that zpp.conf names does not exist",
         "the entry does not start", "copy the file there, or correct the path"),
    Rule("ZPP-C105", _E, "UEFI cannot load a program that zpp.conf names",
         "the entry does not start", "replace it with a UEFI program"),
    Rule("ZPP-C106", _E, "an initrd that zpp.conf names does not exist",
         "the kernel does not start", "copy the file there, or correct the path"),
    Rule("ZPP-C107", _E, "no loader entry matches the default of zpp.conf",
         "the firmware's next boot option starts",
         "add the entry to \\loader\\entries or \\EFI\\Linux, or correct the default"),
    # ---- signatures
    Rule("ZPP-S101", _E, "a program is not signed, and its hash is not in db",
         "Secure Boot refuses it",
         "sign it with a key in db: `sbsign --key KEY --cert CERT --output FILE FILE`"),
    Rule("ZPP-S102", _E, "a program is signed, but not by a key in db",
         "Secure Boot refuses it", "sign it with a key in db, or enroll the signer's certificate"),
    Rule("ZPP-S103", _E, "dbx revokes a program",
         "Secure Boot refuses it", "replace it with a newer version"),
    Rule("ZPP-S104", _E, "a program's signature is not valid",
         "Secure Boot refuses it: the file changed after it was signed, "
         "or the signature is damaged",
         "sign it again: `sbsign --key KEY --cert CERT --output FILE FILE`"),
    Rule("ZPP-S105", _W, "verify cannot read a program's signature",
         "it cannot tell whether Secure Boot starts the program",
         "check it with `sbverify --cert CERT FILE`"),
    Rule("ZPP-S106", _W, "only newer firmware starts a program with Secure Boot",
         "OVMF 2026.08 starts it, OVMF 2022.11 does not",
         "sign it with an RSA key, or enroll its SHA-256"),
    Rule("ZPP-S107", _E, "a program's signature uses a hash algorithm that firmware does not know",
         "Secure Boot refuses it: OVMF ignores the signature", "sign it again with SHA-256"),
)  # fmt: skip

BY_CODE: dict[str, Rule] = {rule.code: rule for rule in RULES}


def markdown() -> str:
    """The rules as a table for docs/reference/verify.md."""
    lines = ["| rule | severity | what is wrong | consequence | fix |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for rule in RULES:
        ways = [f"`--fix` {rule.repair}"] if rule.repair else []
        fix = "; otherwise ".join([*ways, rule.fix] if rule.fix else ways)
        lines.append(f"| {rule.code} | {rule.severity.value} | {rule.title} | {rule.why} | {fix} |")
    return "\n".join(lines) + "\n"

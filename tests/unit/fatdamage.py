"""FAT volumes of mkfs.fat, and single faults put into them. Knows FAT on its own: no efi_image."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import oracles
from makepe import make_pe

# type → KiB of the volume and sectors per cluster
KINDS = {12: (1024, 1), 16: (4608, 1), 32: (33600, 1)}
PROGRAM = make_pe(text=bytes(1500))
BOOT = "EFI/BOOT/BOOTX64.EFI"
FILES = {
    BOOT: PROGRAM,
    "THREE.TXT": b"3" * 1200,
    "ONE.TXT": b"1",
    "a long name, indeed.txt": b"long" * 300,
    "DIR/IN.TXT": b"in" * 400,
}
LABEL = "TESTLABEL"


def make_fat(
    folder: Path,
    bits: int,
    *,
    sector_size: int = 512,
    name: str = "",
    hidden: int = 0,
    program: bytes = PROGRAM,
) -> Path:
    """A volume of mkfs.fat with FILES and a boot program on it, by mtools."""
    image = folder / (name or f"fat{bits}.img")
    kib, per_cluster = KINDS[bits]
    kib = kib * sector_size // 512
    options = ["-F", str(bits), "-s", str(per_cluster), "-S", str(sector_size), "-n", LABEL]
    options += ["-i", "12345678", "-h", str(hidden)]
    oracles.run("mkfs.fat", *options, "-C", image, str(kib))
    for path, data in {**FILES, BOOT: program}.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            oracles.run("mmd", "-D", "s", "-i", image, "::" + "/".join(parts[:depth]), check=False)
        source = folder / "source"
        source.write_bytes(data)
        oracles.run("mcopy", "-i", image, source, "::" + path)
    return image


class Fat:
    """A volume that is about to be damaged."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.sector = self.u16(11)
        self.cluster_size: int = self.sector * data[13]
        self.reserved, self.roots, small = self.u16(14), self.u16(17), self.u16(22)
        self.wide = small == 0
        self.fat_sectors = small or self.u32(36)
        data_start = self.reserved + 2 * self.fat_sectors
        self.root = data_start * self.sector
        self.start = self.root + self.roots * 32
        sectors = self.u16(19) or self.u32(32)
        self.clusters = (sectors * self.sector - self.start) // self.cluster_size
        self.bits = 32 if self.wide else 12 if self.clusters < 4085 else 16
        if self.wide:
            self.root = self.offset(self.u32(44))

    def u16(self, at: int) -> int:
        return int(struct.unpack_from("<H", self.data, at)[0])

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.data, at)[0])

    def put(self, at: int, form: str, *values: int) -> None:
        struct.pack_into("<" + form, self.data, at, *values)

    def offset(self, cluster: int) -> int:
        return self.start + (cluster - 2) * self.cluster_size

    def fat_at(self, cluster: int, copy: int = 0) -> int:
        return (self.reserved + copy * self.fat_sectors) * self.sector + cluster * self.bits // 8

    def get(self, cluster: int) -> int:
        at = self.fat_at(cluster)
        if self.bits == 12:
            return int(struct.unpack_from("<H", self.data, at)[0]) >> 4 * (cluster % 2) & 0xFFF
        return int(struct.unpack_from("<H" if self.bits == 16 else "<I", self.data, at)[0])

    def set(self, cluster: int, value: int, copies: tuple[int, ...] = (0, 1)) -> None:
        for copy in copies:
            at = self.fat_at(cluster, copy)
            if self.bits == 12:
                shift = 4 * (cluster % 2)
                old = struct.unpack_from("<H", self.data, at)[0] & ~(0xFFF << shift)
                self.put(at, "H", old | (value & 0xFFF) << shift)
            else:
                self.put(at, "H" if self.bits == 16 else "I", value & (1 << self.bits) - 1)

    @property
    def end(self) -> int:
        return {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}[self.bits]

    def find(self, short: bytes, where: int | None = None) -> int:
        """The byte of a directory entry; the root's if no other directory is named."""
        start = self.root if where is None else where
        for at in range(start, start + 4096, 32):
            if self.data[at : at + 11] == short and self.data[at + 11] != 0x0F:
                return at
        raise AssertionError(f"{short!r} is not there")

    def first(self, at: int) -> int:
        """The first cluster of the entry there."""
        low = struct.unpack_from("<H", self.data, at + 26)[0]
        return int(low | struct.unpack_from("<H", self.data, at + 20)[0] << 16)

    def set_first(self, at: int, cluster: int) -> None:
        self.put(at + 26, "H", cluster & 0xFFFF)
        self.put(at + 20, "H", cluster >> 16)

    def free(self) -> int:
        """A free cluster far from all others."""
        return self.clusters - 50


THREE, ONE, DIRECTORY = b"THREE   TXT", b"ONE     TXT", b"DIR        "


def _boot(at: int, form: str, *values: int) -> Callable[[Fat], None]:
    def change(fat: Fat) -> None:
        fat.put(at, form, *values)
        if fat.wide:
            fat.put(6 * 512 + at, form, *values)

    return change


def _chain(fat: Fat, *values: int) -> None:
    """Set the entries of THREE.TXT's chain; -1 is end of chain, others as they are."""
    cluster = fat.first(fat.find(THREE))
    for value in values:
        fat.set(cluster, fat.end if value == -1 else value)
        cluster += 1


def _lost(fat: Fat) -> None:
    free = fat.free()
    for cluster in range(free, free + 5):
        fat.set(cluster, cluster + 1 if cluster < free + 4 else fat.end)
    fat.set(free + 10, fat.end)


def _cross(fat: Fat) -> None:
    _chain(fat, fat.first(fat.find(ONE)))


def _shared_start(fat: Fat) -> None:
    fat.set_first(fat.find(ONE), fat.first(fat.find(THREE)))


def _loop(fat: Fat) -> None:
    first = fat.first(fat.find(THREE))
    _chain(fat, first + 1, first + 2, first)


def _self_loop(fat: Fat) -> None:
    first = fat.first(fat.find(THREE))
    _chain(fat, first)


def _directory(fat: Fat) -> int:
    return fat.offset(fat.first(fat.find(DIRECTORY)))


def _set_bytes(fat: Fat, at: int, data: bytes) -> None:
    fat.data[at : at + len(data)] = data


def _duplicate(fat: Fat) -> None:
    _set_bytes(fat, fat.find(ONE), THREE)


def _bad_name(fat: Fat) -> None:
    _set_bytes(fat, fat.find(ONE), b"O>E     TXT")


def _blank_name(fat: Fat) -> None:
    _set_bytes(fat, fat.find(ONE), b" NE     TXT")


def _second_label(fat: Fat) -> None:
    at = fat.find(ONE)
    first = fat.first(at)
    _set_bytes(fat, at, b"SECOND     \x08" + bytes(20))
    fat.set(first, 0)


def _long_checksum(fat: Fat) -> None:
    at = fat.find(b"ALONGN~1TXT")
    fat.data[at - 32 + 13] ^= 0xFF


def _long_order(fat: Fat) -> None:
    at = fat.find(b"ALONGN~1TXT")
    fat.data[at - 64] = 0x47


def _long_illegal(fat: Fat) -> None:
    at = fat.find(b"ALONGN~1TXT")
    fat.data[at - 32 + 1] = ord("?")


def _dirty(fat: Fat) -> None:
    fat.data[0x41 if fat.wide else 0x25] |= 1


def _dirty_entry(fat: Fat) -> None:
    fat.set(1, fat.end & ~(0x8000 if fat.bits == 16 else 0x08000000))


def _label_differs(fat: Fat) -> None:
    at = 0x47 if fat.wide else 0x2B
    _set_bytes(fat, at, b"OTHER      ")
    if fat.wide:
        _set_bytes(fat, 6 * 512 + at, b"OTHER      ")


def _entry(offset: int, form: str, value: int, short: bytes = THREE) -> Callable[[Fat], None]:
    return lambda fat: fat.put(fat.find(short) + offset, form, value)


def _dot(number: int, value: int) -> Callable[[Fat], None]:
    return lambda fat: fat.set_first(_directory(fat) + 32 * number, value)


def _dot_file(fat: Fat) -> None:
    fat.data[_directory(fat) + 11] = 0


@dataclass(frozen=True)
class Damage:
    """A fault, the rule that finds it, and whether fsck.fat and --fix see and repair it."""

    name: str
    rule: str
    change: Callable[[Fat], None]
    bits: int = 16
    fsck: bool = True
    fixed: bool = False


DAMAGES = [
    # chains
    Damage("chain to a free cluster", "F209", lambda f: _chain(f, f.free())),
    Damage("chain to a free cluster", "F209", lambda f: _chain(f, f.free()), 12),
    Damage("first cluster is free", "F209", lambda f: f.set_first(f.find(ONE), f.free())),
    Damage("chain beyond the volume", "F206", lambda f: _chain(f, f.clusters + 20)),
    Damage("chain to cluster 1", "F206", lambda f: _chain(f, 1), 32),
    Damage("chain to a bad cluster", "F210", lambda f: _chain(f, f.end - 8)),
    Damage("chain to another file", "F208", _cross),
    Damage("chain to another file", "F208", _cross, 12),
    Damage("files share their first cluster", "F208", _shared_start, 32),
    Damage("circular chain", "F207", _loop),
    Damage("circular chain", "F207", _loop, 32),
    Damage("chain of a cluster that follows itself", "F207", _self_loop, 12),
    Damage("chain too short", "F403", lambda f: _chain(f, -1)),
    Damage("chain too long", "F402", _entry(28, "I", 100)),
    Damage("empty file with a chain", "F404", _entry(28, "I", 0)),
    Damage("first cluster beyond the volume", "F401", _entry(26, "H", 0xFFF0)),
    Damage("first cluster is 0", "F401", _entry(26, "H", 0, DIRECTORY)),
    Damage("lost chains", "F204", _lost, 12, fixed=True),
    Damage("lost chains", "F204", _lost, 16, fixed=True),
    Damage("lost chains", "F204", _lost, 32, fixed=True),
    # tables
    Damage("FAT[0] without the media byte", "F201", lambda f: f.set(0, f.end & ~0xFF), 12,
           fixed=True),
    Damage("FAT[0] without the media byte", "F201", lambda f: f.set(0, f.end & ~0xFF), 32,
           fixed=True),
    Damage("FAT[1] is 0", "F202", lambda f: f.set(1, 0), 12, fsck=False, fixed=True),
    Damage("second FAT differs", "F203", lambda f: f.set(f.free(), f.end, (1,)), 16, fixed=True),
    Damage("second FAT differs", "F203", lambda f: f.set(f.free(), f.end, (1,)), 32, fixed=True),
    # names and directories
    Damage("two files of the same name", "F408", _duplicate),
    Damage("name with a forbidden character", "F407", _bad_name),
    Damage("name that begins with a blank", "F407", _blank_name),
    Damage("two labels", "F412", _second_label, fsck=False),
    Damage("labels differ", "F413", _label_differs, fixed=True),
    Damage("labels differ", "F413", _label_differs, 32, fixed=True),
    Damage("long name's checksum", "F410", _long_checksum, fsck=False),
    Damage("long name's order", "F410", _long_order, fsck=False),
    Damage("long name with ?", "F411", _long_illegal, fsck=False),
    Damage("`.` leads elsewhere", "F405", _dot(0, 2), fixed=True),
    Damage("`..` leads elsewhere", "F406", _dot(1, 2), fixed=True),
    Damage("`.` is a name", "F405", lambda f: _set_bytes(f, _directory(f), b"X")),
    Damage("directory with a size", "F415", _entry(28, "I", 77, DIRECTORY), fixed=True),
    Damage("`.` is no directory", "F405", _dot_file, fixed=True),
    Damage("end of a directory before its time", "F417",
           lambda f: _set_bytes(f, f.find(ONE), b"\0")),
    Damage("label with a size", "F412", _entry(28, "I", 5, b"TESTLABEL  ")),
    Damage("label with a forbidden character", "F418",
           lambda f: _set_bytes(f, f.find(b"TESTLABEL  "), b"A*")),
    # marks
    Damage("dirty", "F117", _dirty, 16, fixed=True),
    Damage("dirty", "F117", _dirty, 32, fixed=True),
    Damage("dirty in FAT[1]", "F117", _dirty_entry, 16, fixed=True),
    # boot sector
    Damage("no signature", "F101", _boot(510, "H", 0), 16, fsck=False, fixed=True),
    Damage("no jump", "F102", _boot(0, "B", 0), 16, fsck=False, fixed=True),
    Damage("sectors of 500 bytes", "F103", _boot(11, "H", 500)),
    Damage("clusters of 3 sectors", "F104", _boot(13, "B", 3)),
    Damage("no reserved sectors", "F105", _boot(14, "H", 0)),
    Damage("no FATs", "F106", _boot(16, "B", 0)),
    Damage("FAT32 with a fixed root directory", "F107", _boot(17, "H", 512), 32),
    Damage("no sectors", "F108", _boot(19, "HBHHHII", 0, 0xF8, 9, 63, 255, 0, 0)),
    Damage("larger than the image", "F109", _boot(19, "H", 9999)),
    Damage("media byte", "F110", _boot(21, "B", 0x12), 16, fsck=False, fixed=True),
    Damage("FAT too small", "F111", _boot(22, "H", 3)),
    Damage("no geometry", "F112", _boot(24, "HH", 0, 0), 16, fsck=False, fixed=True),
    Damage("wrong type string", "F114", _boot(0x3A, "B", 0x32), fsck=False, fixed=True),
    Damage("version of FAT32", "F115", _boot(42, "H", 1), 32, fsck=False),
    Damage("root cluster", "F116", _boot(44, "I", 0x0FFFFFF0), 32),
    Damage("boot sector zeroed", "F131", lambda f: _set_bytes(f, 0, bytes(512)), 32, fixed=True),
    Damage("cluster count near a limit", "F122",
           lambda f: f.put(19, "H", f.start // 512 + 4090), fsck=False),
    Damage("no clusters", "F124", lambda f: f.put(19, "H", f.start // 512)),
    Damage("clusters of 64 KiB", "F119", _boot(13, "B", 128)),
    Damage("FATs not mirrored", "F127", _boot(40, "H", 0x81), 32, fsck=False),
    # FSInfo and backup
    Damage("FSInfo without signature", "F301", lambda f: f.put(512, "I", 0), 32, fixed=True),
    Damage("FSInfo's free count", "F302", lambda f: f.put(512 + 488, "I", 5), 32, fixed=True),
    Damage("FSInfo's next cluster", "F303", lambda f: f.put(512 + 492, "I", 1 << 20), 32,
           fsck=False, fixed=True),
    Damage("no backup boot sector", "F305", lambda f: f.put(50, "H", 0), 32, fixed=True),
    Damage("backup boot sector differs", "F304", lambda f: f.put(6 * 512 + 39, "I", 1), 32,
           fsck=False, fixed=True),
]  # fmt: skip

"""zpp-image: make, check, show and write boot media that carry the zpp hypervisor.

    import efi_image

    report = efi_image.make("esp.img", kernel="vmlinuz", cmdline="quiet")
    assert efi_image.verify("esp.img").clean

The functions `make`, `verify`, `inspect` and `write` do what the commands of `zpp-image` do.
They print nothing; they raise the exceptions of `efi_image.errors`, all below ZppError.
Sizes are in bytes unless a text gives a unit (`64M`).

Importing this package is cheap and needs the standard library alone:
`python3 -m efi_image.config.environment` runs before anything is installed.
"""

from __future__ import annotations

import sys
from types import ModuleType

from efi_image.errors import ZppError

__version__ = "0.1.0"
__all__ = ["ZppError", "__version__", "inspect", "make", "verify", "write"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike
    from typing import Any

    from efi_image.build.image import Report as ImageReport
    from efi_image.flash import Watch, WriteReport
    from efi_image.progress import Progress
    from efi_image.verify import Report as VerifyReport

    StrPath = str | PathLike[str]


def make(
    output: StrPath | None = None,
    *,
    manifest: StrPath | None = None,
    kernel: StrPath | None = None,
    initrd: StrPath | None = None,
    cmdline: str | None = None,
    rootfs: StrPath | None = None,
    rootfs_size: int | str | None = None,
    boot: Iterable[StrPath] = (),
    files: Iterable[tuple[StrPath, str]] = (),
    partitions: Iterable[tuple[StrPath, str] | tuple[StrPath, str, str]] = (),
    size: int | str | None = None,
    table: str | None = None,
    fat: int | None = None,
    sector_size: int | None = None,
    align: int | str | None = None,
    label: str | None = None,
    volume_serial: str | None = None,
    disk_guid: str | None = None,
    partition_guid: str | None = None,
    disk_signature: str | None = None,
    hypervisor: str | None = None,
    serial: int | str | None = None,
    visible: bool | None = None,
    reset_after: int | str | None = None,
    menu_timeout: int | str | None = None,
    boot_tries: int | str | None = None,
    default: str | None = None,
    build_dir: StrPath | None = None,
    digest: bool | None = None,
    output_format: str | None = None,
    bmap: StrPath | None = None,
    progress: Progress | None = None,
) -> ImageReport:
    """Make a bootable image with the hypervisor on it, as `zpp-image make` does.

    The arguments are the keys of a manifest (docs/reference/manifest.md) and the options of
    `zpp-image make`. For an argument that is None, the manifest, the configuration or the
    default decides.

    Args:
        output: The image; its suffix chooses the format (`.img`, `.iso`, `.zst`, `.qcow2` …).
            Default: esp.img in the build directory. `-` is standard output.
        manifest: A TOML file with settings; the other arguments override it.
        kernel: Linux kernel, UKI or other EFI program that ZppBoot starts.
        initrd: Initial RAM disk of the kernel.
        cmdline: Command line of the kernel.
        rootfs: Directory for a partition with a Linux root file system (ext4), which is booted.
        rootfs_size: Size of that partition in bytes, or a text such as `2G`.
        boot: EFI programs for \\EFI\\BOOT\\BOOT….EFI of their machines.
        files: Pairs of a file, directory or pattern, and its path on the image.
        partitions: A file, its type (`linux`, `swap`, a GUID) and a name, for each partition.
        size: Size of the image in bytes, or a text such as `2G`; `min`: as small as possible.
        table: `gpt`, `mbr`, `iso` or `none`.
        fat: 12, 16 or 32; by size if None.
        sector_size: 512 or 4096 bytes.
        align: Alignment of partitions, in bytes or as a text such as `1M`.
        label: Label of the FAT volume, 1 to 11 characters.
        volume_serial: Serial number of the FAT volume in hexadecimal, such as `1234-ABCD`.
        disk_guid: GUID of the disk (GPT).
        partition_guid: GUID of the FAT volume's partition (GPT).
        disk_signature: Signature of the disk (MBR) in hexadecimal.
        hypervisor: `on`; `off`: on the image, but not started; `none`: not on it.
        serial: I/O port of the log; 0: none.
        visible: Whether CPUID shows zpp to the system.
        reset_after: Seconds from a crash of zpp to the reset; 0: no reset.
        menu_timeout: Seconds that the boot menu waits; 0: show it only if a key is pressed.
        boot_tries: Failed boots in a row before zpp is turned off; 0: never.
        default: The loader entry to start, such as `debian.conf` or `debian-*`.
        build_dir: Directory of ZppBoot.efi and ZppDxe.efi.
        digest: Whether to compute SHA-256 sums.
        output_format: `raw`, `gz`, `xz`, `zst`, `qcow2`, `vhd`, `vhdx`, `vmdk` or `vdi`.
        bmap: A bmap file to write as well.
        progress: Called with the bytes that are copied and the total.

    Returns:
        What was made: size, volume, partitions, files, and digests if they were asked for.

    Raises:
        UsageError: Settings that contradict each other, or a value out of range.
        InputError: A file is missing, unreadable or not valid.
        DoesNotFitError: The files need more space.
        MissingError: qemu-img, which makes virtual disks, is not installed.
        OutputError: The output cannot be written; it is as it was.

    Sources: UEFI specification, sections 5.3 (GPT), 13.3 (file system) and 3.5.1.1 (removable
    media); Microsoft's FAT specification; ECMA-119 (ISO 9660).
    """
    from efi_image.build.image import make_image
    from efi_image.config import manifest as manifests
    from efi_image.config.environment import load
    from efi_image.config.resolve import resolve
    from efi_image.config.settings import Settings, merge

    given = Settings.given(
        {
            "output": output, "output-format": output_format, "bmap": bmap, "digest": digest,
            "build-dir": build_dir, "hypervisor": hypervisor, "kernel": kernel,
            "initrd": initrd, "cmdline": cmdline, "rootfs": rootfs,
            "rootfs-size": rootfs_size, "serial": serial, "visible": visible,
            "reset-after": reset_after, "menu-timeout": menu_timeout, "boot-tries": boot_tries,
            "default": default, "size": size, "table": table, "sector-size": sector_size,
            "align": align, "fat": fat,
            "label": label, "volume-serial": volume_serial, "disk-guid": disk_guid,
            "disk-signature": disk_signature, "partition-guid": partition_guid,
        },
        boot,
        files,
        partitions,
    )  # fmt: skip
    layers = [manifests.load(manifest)] if manifest is not None else []
    return make_image(resolve(merge(load(), *layers, given)), progress=progress)


def verify(
    image: StrPath,
    device: StrPath | None = None,
    *,
    sector_size: int | None = None,
    machines: Iterable[str] = (),
    db: Iterable[StrPath] = (),
    dbx: Iterable[StrPath] = (),
    cross_check: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check an image and explain why it does not boot, as `zpp-image verify` does.

    Nothing is changed.

    Args:
        image: An image file of any known format, or a device.
        device: A device that was written from it, or a file in its place: that is checked, and
            compared with the image. The report says which differences are faults.
        sector_size: Sector size of its medium in bytes, 512 or 4096; None: either.
        machines: Machines that must be able to boot from it, such as `X64` or `AA64`.
        db: Files with the keys that Secure Boot trusts; empty: signatures are not checked.
        dbx: Files with the keys that Secure Boot refuses.
        cross_check: Whether to read every file with an independent reader (pyfatfs) as well.
        progress: Called with the bytes that were checked and the total.

    Returns:
        The findings; `report.clean` tells whether there is no error.

    Raises:
        InputError: The image or a file of keys cannot be read.
        UsageError: `dbx` without `db`, a machine that does not exist, or twice the same file.

    Source: the rules in docs/reference/verify.md name the specification of each.
    """
    from pathlib import Path

    from efi_image.errors import UsageError
    from efi_image.formats.pe.uefi import Machine
    from efi_image.formats.signature_list import read_keys
    from efi_image.verify import Options, verify_written
    from efi_image.verify import verify as check
    from efi_image.verify.secure_boot import Keys

    trusted, refused = tuple(map(Path, db)), tuple(map(Path, dbx))
    if refused and not trusted:
        raise UsageError("needs db", where="dbx")
    names = {machine.name: machine for machine in Machine}
    for name in machines:
        if name.upper() not in names:
            raise UsageError(f"expected one of {', '.join(names)}, not '{name}'", where="machines")
    options = Options(
        sector_size=sector_size,
        machines=tuple(names[name.upper()] for name in machines),
        keys=Keys(read_keys(trusted), read_keys(refused)) if trusted else None,
        cross_check=cross_check,
        progress=progress,
    )
    if device is not None:
        return verify_written(Path(image), Path(device), options)
    return check(Path(image), options)


def inspect(file: StrPath, *, progress: Progress | None = None) -> dict[str, Any]:
    """Show the structure of an image or a PE file, as `zpp-image inspect --json` does.

    Args:
        file: An image file of any known format, a device, or a PE file.
        progress: Called with the bytes that were looked at and the total.

    Returns:
        The document that `zpp-image inspect --json` prints (docs/reference/inspect.md);
        offsets and sizes are in bytes.

    Raises:
        InputError: The file cannot be read, or its format is not known.
        MissingError: qemu-img, which reads virtual disks, is not installed.

    Sources: UEFI specification, section 5; Microsoft's PE format.
    """
    import json
    import os

    from efi_image.formats.detect import open_medium
    from efi_image.formats.disk import read_disk
    from efi_image.formats.pe.headers import is_pe
    from efi_image.inspect.image import image_facts
    from efi_image.inspect.pe import pe_facts
    from efi_image.render.as_json import json_text, versioned

    with open_medium(os.fspath(file)) as medium:
        facts: object
        if is_pe(medium.peek):
            facts = pe_facts(medium.chunks(0, medium.size), os.fspath(file))
        else:
            facts = image_facts(read_disk(medium), progress=progress)
        document: dict[str, Any] = json.loads("".join(json_text(versioned(facts))))
        return document


def write(
    image: StrPath,
    target: StrPath,
    *,
    yes_erase: str | None = None,
    bmap: StrPath | None = None,
    verify: bool = True,
    delta: bool = False,
    resume: bool = False,
    probe: bool = False,
    skip_holes: bool = False,
    internal: bool = False,
    eject: bool = False,
    force: bool = False,
    raw_bytes: bool = False,
    watch: Watch | None = None,
) -> WriteReport:
    """Write an image to a USB stick and verify it, as `zpp-image write` does.

    Nothing boots from the target until all data was read back and is correct.

    Args:
        image: A raw, compressed or virtual disk image, or a manifest (.toml).
        target: A whole disk, such as `/dev/sdb`, or a regular file.
        yes_erase: Serial number of the disk (its path, if it has none); a disk is written only
            if it has this number.
        bmap: A bmap file; only the blocks that it lists are written.
        verify: Whether to read the data back and compare it.
        delta: Whether to write only blocks that differ.
        resume: Whether to continue an interrupted write.
        probe: Whether to test the capacity of the device first.
        skip_holes: Whether to leave old content where the image has holes.
        internal: Whether a built-in disk that nothing uses is allowed.
        eject: Whether to eject the device at the end.
        force: Whether to overwrite a regular file that has data.
        raw_bytes: Whether to write a file that is not a known disk or volume.
        watch: Called with each phase; gives the Progress for it, or None.

    Returns:
        What was written, in bytes, and what to know about it.

    Raises:
        UnsafeTarget: The disk is in use, not removable, or not the one with this number, or a
            regular file has data; nothing was written.
        InputError: The image cannot be read.
        DoesNotFitError: The image is larger than the target.
        OutputError: Writing failed.
        VerificationFailed: The data read back differs from the image.
        UsageError: Arguments that contradict each other.

    Source: docs/explanation/security.md, which lists what protects other disks.
    """
    import os
    from pathlib import Path

    from efi_image.devices import Device
    from efi_image.errors import UnsafeTarget
    from efi_image.flash import ImageSource, WriteOptions
    from efi_image.flash import write as write_image
    from efi_image.flash.destination import has_data
    from efi_image.flash.options import quiet

    def confirm(device: Device | Path, _source: ImageSource) -> None:
        if isinstance(device, Path):
            if not force:
                raise has_data(device, "force=True")
            return
        if yes_erase != device.key:
            raise UnsafeTarget(
                "is not confirmed",
                where=device.path,
                hint=f"erase it with yes_erase={device.key!r}",
            )

    options = WriteOptions(
        Path(image),
        os.fspath(target),
        Path(bmap) if bmap is not None else None,
        verify=verify,
        delta=delta,
        resume=resume,
        skip_holes=skip_holes,
        internal=internal,
        capacity_test=probe,
        eject=eject,
        raw_bytes=raw_bytes,
    )
    return write_image(options, confirm, watch or quiet)


class _Api(ModuleType):
    """Keeps `verify` and `inspect` the functions above.

    There are packages of these names too, which Python would put in their place when it
    loads them. `from efi_image.verify import …` finds the package as ever.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Api

"""A FAT volume, checked as a whole."""

from __future__ import annotations

from efi_image.errors import InputError
from efi_image.formats.fat.bpb import BootSector
from efi_image.formats.fat.reader import FatVolume
from efi_image.progress import counter
from efi_image.verify.context import CheckContext
from efi_image.verify.fat import bpb, tables
from efi_image.verify.fat.chains import MAX_CLUSTERS, Chains
from efi_image.verify.fat.tree import TreeCheck


def check(context: CheckContext) -> FatVolume | None:
    """Check a whole volume; returns it if its files can be read."""
    boot = bpb.check(context)
    if boot is None:
        return None
    try:
        return _check_volume(context, boot)
    except InputError as error:
        context.add("F206", f"it {error.what}")
        return None


def _check_volume(context: CheckContext, boot: BootSector) -> FatVolume | None:
    volume = FatVolume(context.medium)
    volume.kind = bpb.kind_of(boot)
    if boot.clusters > MAX_CLUSTERS:
        context.add("F126", f"it has {boot.clusters}, the limit is {MAX_CLUSTERS}")
        return volume
    if context.has("F116"):
        return None
    tables.check_first_entries(context, volume)
    chains = Chains(context, volume)
    used = (volume.clusters - max(volume.free_clusters(), 0)) * boot.cluster_size
    TreeCheck(context, volume, chains, counter(context.progress, used)).run()
    if not context.has("F127"):
        tables.check_copies(context, volume)
    counts = tables.check_usage(context, volume, chains.claimed)
    tables.check_fsinfo(context, volume, counts)
    tables.check_clean(context, volume)
    bpb.check_backup(context, boot)
    return volume

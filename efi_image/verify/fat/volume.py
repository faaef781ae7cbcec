"""A FAT volume, checked as a whole."""

from __future__ import annotations

from efi_image.errors import InputError
from efi_image.formats.fat.reader import BootSector, FatVolume
from efi_image.progress import counter
from efi_image.verify.context import Scope
from efi_image.verify.fat import bpb as fat_boot
from efi_image.verify.fat import tables as fat_tables
from efi_image.verify.fat.chains import MAX_CLUSTERS, Chains
from efi_image.verify.fat.tree import TreeCheck


def check(scope: Scope) -> FatVolume | None:
    """Check all of a volume; the volume, if its files can be read."""
    boot = fat_boot.check(scope)
    if boot is None:
        return None
    try:
        return _check_volume(scope, boot)
    except InputError as error:
        scope.add("F206", f"it {error.what}")
        return None


def _check_volume(scope: Scope, boot: BootSector) -> FatVolume | None:
    volume = FatVolume(scope.medium)
    volume.kind = fat_boot.kind_of(boot)
    if boot.clusters > MAX_CLUSTERS:
        scope.add("F126", f"it has {boot.clusters}")
        return volume
    if scope.has("F116") or (scope.has("F127") and boot.flags & 15):
        return None
    fat_tables.check_first_entries(scope, volume)
    chains = Chains(scope, volume)
    used = (volume.clusters - max(volume.free_clusters(), 0)) * boot.cluster_size
    TreeCheck(scope, volume, chains, counter(scope.progress, used)).run()
    if not scope.has("F127"):
        fat_tables.check_copies(scope, volume)
    counts = fat_tables.check_usage(scope, volume, chains.claimed)
    fat_tables.check_fsinfo(scope, volume, counts)
    fat_tables.check_clean(scope, volume)
    fat_boot.check_backup(scope, boot)
    return volume

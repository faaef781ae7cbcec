"""Every rule about FAT volumes, on volumes of others with one fault each; beside fsck.fat."""

from __future__ import annotations

import shutil
from pathlib import Path

import oracles
import pytest
from fatdamage import DAMAGES, FILES, Damage, Fat, make_fat

from efi_image.verify import Report, Severity, repair, verify
from efi_image.verify.fat.chains import MAX_CLUSTERS

BAD = (Severity.ERROR, Severity.WARNING)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A sound volume of each type."""
    folder = tmp_path_factory.mktemp("fat")
    return {bits: make_fat(folder, bits) for bits in (12, 16, 32)}


def codes(report: Report) -> set[str]:
    return {finding.rule.code.removeprefix("ZPP-") for finding in report.findings}


def is_damaged(report: Report) -> bool:
    """As fsck.fat means it: about the volume, and notes do not count."""
    return any(
        finding.rule.severity in BAD and finding.rule.code.startswith("ZPP-F")
        for finding in report.findings
    )


def damaged(original: Path, image: Path, damage: Damage) -> None:
    fat = Fat(bytearray(original.read_bytes()))
    damage.change(fat)
    image.write_bytes(fat.data)


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_sound_volume_is_clean(originals: dict[int, Path], bits: int) -> None:
    report = verify(originals[bits])
    assert report.findings == ()
    assert oracles.verdict("fsck.fat", "-n", originals[bits])
    files = oracles.pyfatfs_files(originals[bits])
    assert files == FILES


def test_more_clusters_than_are_followed(originals: dict[int, Path], tmp_path: Path) -> None:
    """A volume of 34 GB in clusters of a sector, most of it a hole."""
    clusters = MAX_CLUSTERS + 1
    fat = Fat(bytearray(originals[32].read_bytes()))
    fat_sectors = -(-(clusters + 2) * 4 // 512)
    sectors = fat.reserved + 2 * fat_sectors + clusters
    fat.put(13, "B", 1)
    fat.put(32, "II", sectors, fat_sectors)
    image = tmp_path / "large.img"
    with image.open("wb") as file:
        file.write(fat.data[: fat.reserved * 512])
        file.truncate(sectors * 512)
    assert "F126" in codes(verify(image))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: f"{d.rule}-{d.name}-{d.bits}")
def test_damage_is_found(originals: dict[int, Path], tmp_path: Path, damage: Damage) -> None:
    image = tmp_path / "damaged.img"
    damaged(originals[damage.bits], image, damage)
    before = image.read_bytes()
    report = verify(image)
    assert damage.rule in codes(report)
    assert is_damaged(report)
    assert oracles.verdict("fsck.fat", "-n", image) is not damage.fsck
    assert image.read_bytes() == before
    own = [finding for finding in report.findings if finding.rule.code == f"ZPP-{damage.rule}"]
    assert any(finding.fix for finding in own) is damage.fixed
    assert all(finding.rule.repair for finding in report.findings if finding.fix)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [d for d in DAMAGES if d.fixed], ids=lambda d: f"{d.rule}-{d.name}-{d.bits}"
)
def test_damage_is_repaired(originals: dict[int, Path], tmp_path: Path, damage: Damage) -> None:
    image, fixed = tmp_path / "damaged.img", tmp_path / "fixed.img"
    damaged(originals[damage.bits], image, damage)
    before = image.read_bytes()
    repaired = repair(image, fixed)
    assert repaired.fixed
    assert repaired.after.findings == ()
    assert image.read_bytes() == before
    assert verify(fixed).findings == ()
    oracles.check_fat(fixed)
    assert oracles.pyfatfs_files(fixed) == FILES
    # repairing twice changes nothing, and in place is the same
    assert repair(fixed).fixed == ()
    shutil.copy(image, tmp_path / "in place.img")
    repair(tmp_path / "in place.img")
    assert (tmp_path / "in place.img").read_bytes() == fixed.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [d for d in DAMAGES if d.rule.startswith("F1") and d.bits == 32],
    ids=lambda d: f"{d.rule}-{d.name}",
)
def test_a_valid_backup_is_not_replaced_by_a_bad_boot_sector(
    originals: dict[int, Path], tmp_path: Path, damage: Damage
) -> None:
    image, backup = tmp_path / "damaged.img", slice(6 * 512, 7 * 512)
    damaged(originals[32], image, damage)
    data = bytearray(image.read_bytes())
    data[backup] = original = originals[32].read_bytes()[backup]
    image.write_bytes(data)
    repair(image)
    if any(finding.rule.severity is Severity.ERROR for finding in verify(image).findings):
        assert image.read_bytes()[backup] == original
    else:
        oracles.check_fat(image)


def checked(image: Path, fat: Fat) -> set[str]:
    image.write_bytes(fat.data)
    return codes(verify(image))


def test_bad_clusters_are_no_fault(originals: dict[int, Path], tmp_path: Path) -> None:
    fat = Fat(bytearray(originals[32].read_bytes()))
    fat.set(fat.free(), fat.end - 8)
    fat.put(512 + 488, "I", fat.u32(512 + 488) - 1)
    assert checked(tmp_path / "image", fat) == {"F205"}
    assert oracles.verdict("fsck.fat", "-n", tmp_path / "image")


def test_fat16_of_too_many_clusters(originals: dict[int, Path], tmp_path: Path) -> None:
    fat = Fat(bytearray(originals[16].read_bytes()))
    fat.put(19, "H", 0)
    fat.put(22, "H", 300)
    fat.put(32, "I", 68000)
    fat.data += bytes(68000 * 512 - len(fat.data))
    assert "F123" in checked(tmp_path / "image", fat)


def test_endless_directory(originals: dict[int, Path], tmp_path: Path) -> None:
    fat = Fat(bytearray(originals[16].read_bytes()))
    cluster = fat.first(fat.find(b"DIR        "))
    for following in range(1000, 1000 + 4200):
        fat.set(cluster, following)
        start = fat.offset(following)
        fat.data[start : start + 512] = (b"\xe5" + bytes(31)) * 16
        cluster = following
    fat.set(cluster, fat.end)
    start = fat.offset(fat.first(fat.find(b"DIR        ")))
    for at in range(start + 96, start + 512, 32):
        fat.data[at] = 0xE5
    assert checked(tmp_path / "image", fat) == {"F414"}

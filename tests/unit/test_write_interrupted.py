"""Writes that are killed, interrupted or refused space: never done when they are not."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from interrupted import Result, Run
from namespaces import own_mounts
from writing import MIB, PAYLOAD, SIZE, assert_whole, boots, image, old_stick

from efi_image.cli.main import main
from efi_image.errors import OutputError, UnsafeTarget
from efi_image.flash.destination import is_device
from efi_image.flash.target import open_file

__all__ = ["image"]

KILLS = 50
DONE = "read back and equal"
UNFINISHED = "the write is unfinished, and nothing boots from it"


def do(runs: list[Run], folder: Path) -> list[Result]:
    """The runs, one after the other, from a program of its own."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps([asdict(run) for run in runs]))
    script = Path(__file__).with_name("interrupted.py")
    result = subprocess.run(
        [sys.executable, "-P", script, plan], stdout=subprocess.PIPE, check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])}, text=True,
    )  # fmt: skip
    return [Result(**row) for row in json.loads(result.stdout)]


def whole(image: Path, folder: Path, *options: str) -> tuple[bytes, int]:
    """What a stick is after a write, and how many calls that takes."""
    stick = old_stick(folder, SIZE + MIB, "whole")
    (result,) = do([Run(["write", "--force", str(image), str(stick), *options])], folder)
    assert result.status == 0, result
    assert DONE in result.out
    assert_whole(image, stick)
    return stick.read_bytes(), result.calls


@pytest.mark.slow
def test_killed_at_any_call(image: Path, tmp_path: Path) -> None:
    """Either nothing boots, or all is there; and what was killed can be gone on with."""
    wanted, calls = whole(image, tmp_path)
    assert calls > KILLS // 2
    dice = random.Random(11)
    # the last calls, where the first block is written, are all among them
    places = [*range(calls - 9, calls + 1), *(dice.randint(1, calls) for _ in range(KILLS - 10))]
    sticks = [old_stick(tmp_path, SIZE + MIB, f"stick{number}") for number in range(KILLS)]
    before = sticks[0].read_bytes()
    for stick in sticks[1:]:
        shutil.copyfile(sticks[0], stick)
    runs = [
        Run(
            ["write", "--force", str(image), str(stick)],
            call,
            signal.SIGKILL,
            torn=dice.random() < 0.5,
        )
        for stick, call in zip(sticks, places, strict=True)
    ]
    again = [Run(["write", str(image), str(stick), "--resume"]) for stick in sticks]
    anew = [Run(["write", "--force", str(image), str(stick)]) for stick in sticks]
    ended = {"untouched": 0, "unfinished": 0, "whole": 0}
    results = do(runs, tmp_path)
    states = [stick.read_bytes() for stick in sticks]
    left = [boots(stick) for stick in sticks]
    for result, state, boot in zip(results, states, left, strict=True):
        assert result.status == -signal.SIGKILL, result
        assert DONE not in result.out
        if state[64 * 1024 :] == before[64 * 1024 :] and state[:512] == before[:512]:
            ended["untouched"] += 1  # killed before, or at, the very first write
        elif not any(state[:512]):
            ended["unfinished"] += 1
        else:
            assert boot
            assert state == wanted
            ended["whole"] += 1
    assert ended["unfinished"] > KILLS // 2
    assert ended["whole"] >= 1
    others = []
    for stick, result, fresh in zip(sticks, do(again, tmp_path), anew, strict=True):
        if result.status == 3:
            assert "has no unfinished write" in result.err
            others.append(fresh)
        else:
            assert result.status == 0, result
            assert stick.read_bytes() == wanted
    assert len(others) < KILLS // 2
    assert {result.status for result in do(others, tmp_path)} == {0}
    assert all(stick.read_bytes() == wanted for stick in sticks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_a_clear_state(
    number: int, code: int, word: str, image: Path, tmp_path: Path
) -> None:
    wanted, calls = whole(image, tmp_path)
    stick = old_stick(tmp_path, SIZE + MIB)
    first, second = do(
        [
            Run(["write", "--force", str(image), str(stick)], calls // 2, number),
            Run(["write", str(image), str(stick), "--resume", "--json"]),
        ],
        tmp_path,
    )
    assert first.status == code, first
    assert first.err == f"{stick}: {UNFINISHED}; --resume continues it\nzpp-image: {word}\n"
    assert first.out == ""
    assert second.status == 0
    report = json.loads(second.out)
    assert report["kept"] > MIB
    assert report["written"] + report["kept"] > PAYLOAD
    assert report["verified"] > PAYLOAD
    assert stick.read_bytes() == wanted


def test_a_signal_before_the_first_write_changes_nothing(image: Path, tmp_path: Path) -> None:
    """The image is looked at before anything is cleared."""
    broken = tmp_path / "broken.img.gz"
    broken.write_bytes(b"\x1f\x8b\x08" + bytes(50))
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    (result,) = do([Run(["write", "--force", str(broken), str(stick)])], tmp_path)
    assert result.status == 3
    assert UNFINISHED not in result.err
    assert stick.read_bytes() == before


@pytest.mark.slow
def test_killed_without_reading_back(image: Path, tmp_path: Path) -> None:
    """Without it, too, the first block comes last."""
    wanted, calls = whole(image, tmp_path)
    sticks = [old_stick(tmp_path, SIZE + MIB, f"stick{number}") for number in range(6)]
    runs = [
        Run(["write", "--force", str(image), str(stick), "--no-verify"], call, signal.SIGKILL)
        for stick, call in zip(sticks, range(calls - 5, calls + 1), strict=True)
    ]
    for result, stick in zip(do(runs, tmp_path), sticks, strict=True):
        state = stick.read_bytes()
        assert not any(state[:512]) or state == wanted
        assert result.status in {0, -signal.SIGKILL}


def test_a_file_that_may_not_grow(image: Path, tmp_path: Path) -> None:
    """The kernel takes a part of a write, then nothing: a short write, and EFBIG."""
    stick = tmp_path / "stick"
    stick.write_bytes(b"")
    stick.touch()
    with stick.open("r+b") as file:
        file.truncate(SIZE)
    limit = 3 * MIB + 4096
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from efi_image.cli.main import main
sys.exit(main(["write", {str(image)!r}, {str(stick)!r}]))
"""
    result = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert result.returncode == 4, result
    assert result.stdout == ""
    assert "cannot be written at byte" in result.stderr
    assert "File too large" in result.stderr
    assert not boots(stick)


def test_a_full_file_system(image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    script = f"""
mount -t tmpfs -o size=4m small {folder} || exit 77
trap 'umount {folder}' EXIT
truncate -s {SIZE} {folder}/stick
{sys.executable} -P -m efi_image write {image} {folder}/stick
code=$?
head -c 4096 {folder}/stick | tr -d '\\0' | wc -c
exit $code
"""
    result = subprocess.run(
        [*own_mounts(), "sh", "-c", script], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )  # fmt: skip
    if result.returncode in {1, 77} and "efi_image" not in result.stderr:
        pytest.skip(f"this machine lets nobody mount a tmpfs: {result.stderr.strip()}")
    assert result.returncode == 4, result
    assert "No space left on device" in result.stderr
    assert result.stdout.strip() == "0"


# ---- the command


def test_json_report(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    assert main(["write", "--force", str(image), str(stick), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["image"] == str(image)
    assert report["target"] == str(stick)
    assert report["size"] == SIZE
    assert report["moved_table"] is True
    assert report["ejected"] is None
    assert report["verified"] == report["written"] + report["zeroed"]


def test_a_manifest_needs_no_image_file(
    build_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk.toml").write_text(f'build-dir = "{build_dir}"\nsize = "40M"\n')
    made, stick = tmp_path / "made.img", tmp_path / "stick"
    manifest = str(tmp_path / "disk.toml")
    assert main(["make", str(made), "--manifest", manifest]) == 0
    before = set(tmp_path.rglob("*"))
    assert main(["write", manifest, str(stick)]) == 0
    assert set(tmp_path.rglob("*")) - before == {stick}
    assert stick.read_bytes() == made.read_bytes()
    assert "written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["none.img", "stick"], 3, "none.img: does not exist"),
        (["image.img", "."], 2, "is neither a disk nor a regular file"),
        (["image.img", "image.img"], 2, "IMAGE and TARGET are the same file"),
        (["image.img", "/dev/null"], 2, "is neither a disk nor a regular file"),
        (["image.img", "stick", "--probe"], 2, "--probe: is for devices, not for files"),
        (["image.img", "stick", "--eject"], 2, "--eject: is for devices, not for files"),
        (["image.img", "stick", "--probe", "--resume"], 2, "--probe: cannot be used with --resume"),
        (["image.img", "stick", "--resume", "--no-verify"], 2, "--resume: cannot be used with"),
        (["image.img", "/dev/none-such"], 3, "/dev/none-such: cannot be opened"),
        (["image.img", "stick", "--bmap", "none"], 3, "none: does not exist"),
        (["disk.toml", "stick", "--bmap", "none"], 2, "--bmap: cannot be used with a manifest"),
        (["empty", "stick"], 3, "empty: is empty"),
    ],
)
def test_bad_use(
    arguments: list[str], code: int, what: str, image: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stick = old_stick(tmp_path, SIZE)
    (tmp_path / "empty").touch()
    before = stick.read_bytes()
    assert main(["write", *arguments]) == code
    assert what in capsys.readouterr().err
    assert stick.read_bytes() == before


def test_a_plain_file_in_place_of_a_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as others leave in /dev: it is memory, and a name that some stick will have."""
    monkeypatch.setattr("os.path.realpath", lambda path: f"/dev/{Path(path).name}")
    (tmp_path / "sdq").touch()
    with pytest.raises(UnsafeTarget, match="is a regular file in /dev, not a disk"):
        is_device(str(tmp_path / "sdq"))
    (tmp_path / "stick").symlink_to("/dev/none-such")  # it was pulled
    assert is_device(str(tmp_path / "stick"))
    monkeypatch.undo()
    assert is_device(str(tmp_path / "stick"))
    assert not is_device(str(tmp_path / "sdq"))
    assert not is_device("/dev/shm/none-such")


def test_a_file_that_became_something_else_is_no_target(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OutputError, match="is not a regular file"):
            open_file(path, None)


def test_what_is_read_is_not_written(
    build_dir: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, driver = tmp_path / "disk.toml", build_dir / "ZppDxe.efi"
    manifest.write_text(f'build-dir = "{build_dir}"\n')
    before = driver.read_bytes()
    assert main(["write", str(manifest), str(driver)]) == 2
    assert "ZppDxe.efi: is an input of this write" in capsys.readouterr().err
    assert driver.read_bytes() == before


@pytest.mark.parametrize("suffix", ["img", "toml"])
def test_nothing_is_left_of_a_new_file_that_was_not_begun(suffix: str, tmp_path: Path) -> None:
    tiny = tmp_path / f"tiny.{suffix}"
    tiny.write_bytes(b"[" * 700)
    assert main(["write", str(tiny), str(tmp_path / "new")]) != 0
    assert not (tmp_path / "new").exists()


def test_the_disk_of_this_machine_is_refused(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every option that could be taken for a wish to do it."""
    from efi_image.devices.linux import LinuxDisks  # noqa: PLC0415

    for device in LinuxDisks().devices():
        if any(mount.target == "/" for mount in device.mounts):
            options = ["--yes-erase", device.key, "--internal"]
            assert main(["write", str(image), device.path, *options]) == 9
            assert "contains /" in capsys.readouterr().err

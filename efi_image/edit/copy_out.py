"""Files of an image to this machine, under the names that the user gives."""

from __future__ import annotations

import os
from datetime import UTC
from pathlib import Path

from efi_image.edit.operations import Copied
from efi_image.edit.sources import need_recursive
from efi_image.errors import InputError, OutputError
from efi_image.formats.files import FilePath, FileSystem, Kind, Node, find, show_path
from efi_image.inspect.extract import extract, fault_of
from efi_image.io.atomic import atomic, refuse_input
from efi_image.progress import Progress, told


def copy_out(
    volume: FileSystem,
    path: FilePath,
    target: Path,
    *,
    image: Path,
    recursive: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Copy a file, or a directory with everything in it, into a directory or to a new path.

    Raises InputError, OutputError, and UsageError for a directory without `recursive`, and for
    a target that is the volume's own `image`.
    """
    real, node = find(volume, path)
    if node.kind is Kind.DIRECTORY:
        need_recursive(show_path(real), recursive)
        return _directory(
            volume, real, node, target, image=image, replace=replace, progress=progress
        )
    if node.kind is not Kind.FILE:
        raise InputError("is a link", where=show_path(real))
    if target.is_dir():
        if fault := fault_of(node.name):
            raise InputError(f"its name {fault}", where=show_path(real), hint="name the target")
        target /= node.name
    refuse_input(target, image)
    if os.path.lexists(target) and not replace:
        raise InputError("already exists", where=str(target), hint="replace it with --force")
    _file(volume, node, target, progress)
    return Copied(1, node.size)


def _file(volume: FileSystem, node: Node, target: Path, progress: Progress | None) -> None:
    with atomic(target) as descriptor:
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                for piece in told(volume.chunks(node), progress, node.size):
                    file.write(piece)
        except OSError as error:
            reason = f"cannot be written: {error.strerror}"
            raise OutputError(reason, where=str(target)) from None
        if node.modified:
            moment = node.modified if node.modified.tzinfo else node.modified.replace(tzinfo=UTC)
            os.utime(descriptor, (moment.timestamp(),) * 2)


def _directory(
    volume: FileSystem,
    path: FilePath,
    node: Node,
    target: Path,
    *,
    image: Path,
    replace: bool,
    progress: Progress | None,
) -> Copied:
    """Under its own name into a directory, or its contents to a new one."""
    paths = [path]
    if not path or not target.exists():
        paths = [(*path, child.name) for child in volume.children(node)]
    if not paths:
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be made: {error.strerror}", where=str(target)) from None
        return Copied()
    done = extract(volume, paths, target, replace=replace, image=image, progress=progress)
    if done.skipped:
        raise InputError(
            f"{len(done.skipped)} names were skipped",
            where=volume.medium.name,
            details=tuple(done.skipped),
        )
    return Copied(done.files, done.size)

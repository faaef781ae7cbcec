"""The changes of each command; nothing is written before the whole change is known to work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from efi_image.edit.sources import Entry, Group
from efi_image.errors import InputError, UsageError
from efi_image.formats.fat.editor import FatEditor
from efi_image.formats.fat.folder import Folder, Item
from efi_image.formats.fat.names import check_name, fold
from efi_image.formats.files import FilePath, show_path, split_path


@dataclass(frozen=True, slots=True)
class Target:
    """A path as the user wrote it; `is_folder` if it must be a directory."""

    path: FilePath
    is_folder: bool

    @classmethod
    def parse(cls, text: str) -> Target:
        """A path that ends with a slash is a directory's; raises InputError."""
        return cls(split_path(text), text.endswith(("/", "\\")))


@dataclass(slots=True)
class Copied:
    """The number of files and their bytes."""

    files: int = 0
    size: int = 0


# ---- finding


def find_folder(editor: FatEditor, path: FilePath) -> Folder:
    """The directory at that path; raises InputError."""
    here = editor.root
    for depth, name in enumerate(path, 1):
        item = here.find(name)
        if item is None:
            raise InputError("does not exist", where=show_path(path[:depth]))
        if not item.is_directory:
            raise InputError("is not a directory", where=show_path(path[:depth]))
        here = editor.folder(item.entry.first_cluster)
    return here


def find_item(editor: FatEditor, path: FilePath) -> tuple[Folder, Item]:
    """A file or directory and the directory that it is in; raises InputError, UsageError."""
    if not path:
        raise UsageError("is the root directory, which cannot be moved or removed", where="\\")
    folder = find_folder(editor, path[:-1])
    item = folder.find(path[-1])
    if item is None:
        raise InputError("does not exist", where=show_path(path))
    return folder, item


def _folder_of(editor: FatEditor, path: FilePath) -> Folder:
    """The directory for a new entry at that path; raises InputError."""
    try:
        return find_folder(editor, path[:-1])
    except InputError as error:
        hint = "make it with `zpp-image mkdir -p`" if "exist" in error.what else ""
        raise InputError(error.what, where=error.where, hint=hint) from None


def is_folder(editor: FatEditor, path: FilePath) -> bool:
    """Whether there is a directory at that path."""
    try:
        find_folder(editor, path)
    except InputError:
        return False
    return True


# ---- mkdir and rm


def make_folders(editor: FatEditor, path: FilePath, *, parents: bool) -> int:
    """Make a directory, with `parents` also those above it; how many are new.

    With `parents` it may be there already. Raises InputError, FatNameError, DoesNotFitError.
    """
    if not path and not parents:
        raise InputError("already exists", where="\\")
    here = editor.root if parents else _folder_of(editor, path)
    count = 0
    for depth in range(1 if parents else len(path), len(path) + 1):
        where, name = show_path(path[:depth]), path[depth - 1]
        item = here.find(name)
        if item is None:
            here = editor.make_folder(here, check_name(name, where))
            count += 1
        elif not item.is_directory:
            raise InputError("is a file", where=where)
        elif not parents:
            raise InputError("already exists", where=where)
        else:
            here = editor.folder(item.entry.first_cluster)
    return count


def remove(editor: FatEditor, path: FilePath, *, recursive: bool, missing_ok: bool = False) -> bool:
    """Remove a file, or a directory with everything in it; whether it was there.

    Raises InputError, UsageError.
    """
    try:
        folder, item = find_item(editor, path)
    except InputError:
        if missing_ok:
            return False
        raise
    if item.is_directory and not recursive:
        raise UsageError("is a directory", where=show_path(path), hint="remove it with -r")
    editor.remove(folder, item)
    return True


# ---- cp


def copy(editor: FatEditor, groups: Sequence[Group], target: Target, *, force: bool) -> Copied:
    """Copy files, and directories with everything in them.

    They go into the target if it is a directory, else the only one gets that name. With
    `force`, files are replaced. Raises InputError, UsageError, FatNameError, DoesNotFitError.
    """
    into = is_folder(editor, target.path)
    if not into and (target.is_folder or len(groups) > 1):
        _folder_of(editor, (*target.path, ""))
    copier = _Copier(editor, force)
    for group in groups:
        base = (*target.path, group.name) if into and group.name else target.path
        for entry in group.entries:
            copier.add((*base, *entry.path), entry)
    return copier.done


class _Copier:
    """Adds files and directories to a volume."""

    def __init__(self, editor: FatEditor, force: bool) -> None:
        self.done = Copied()
        self._editor = editor
        self._force = force
        self._seen: set[tuple[int, str]] = set()
        self._folders: dict[FilePath, Folder] = {}

    def add(self, path: FilePath, entry: Entry) -> None:
        where = show_path(path)
        if not path:  # a directory onto the root
            return
        check_name(path[-1], where)
        folder = self._folders.get(path[:-1]) or _folder_of(self._editor, path)
        self._folders[path[:-1]] = folder
        old = folder.find(path[-1])
        if entry.source is None:
            self._directory(path, folder, old)
            return
        if old and old.is_directory:
            raise InputError("is a directory; a file cannot replace it", where=where)
        key = folder.cluster, fold(old.entry.name if old else path[-1])
        if key in self._seen:
            raise UsageError("two of the files to copy have this name", where=where)
        if old and not self._force:
            raise InputError("already exists", where=where, hint="replace it with --force")
        self._seen.add(key)
        self._editor.put_file(folder, path[-1], entry.source)
        self.done.files += 1
        self.done.size += entry.source.size

    def _directory(self, path: FilePath, folder: Folder, old: Item | None) -> None:
        if old is None:
            self._folders[path] = self._editor.make_folder(folder, path[-1])
        elif not old.is_directory:
            raise InputError("is a file; a directory cannot replace it", where=show_path(path))


# ---- mv


def move(editor: FatEditor, paths: Iterable[FilePath], target: Target, *, force: bool) -> None:
    """Move files and directories into the target if it is a directory, else rename the only one.

    With `force`, a file is replaced. Raises InputError, UsageError, FatNameError.
    """
    sources = list(paths)
    into = is_folder(editor, target.path)
    if len(sources) == 1 and into and not target.is_folder:
        into = not _is_same(editor, sources[0], target.path)  # another case of its own name
    if not into and (target.is_folder or len(sources) > 1):
        _folder_of(editor, (*target.path, ""))
    for path in sources:
        folder, item = find_item(editor, path)
        end = (*target.path, item.entry.name) if into else target.path
        _move(editor, (folder, item), end, force=force)


def _is_same(editor: FatEditor, one: FilePath, other: FilePath) -> bool:
    if not one or not other:
        return False
    (folder, item), (other_folder, other_item) = find_item(editor, one), find_item(editor, other)
    return folder is other_folder and item.last == other_item.last


def _move(editor: FatEditor, found: tuple[Folder, Item], end: FilePath, *, force: bool) -> None:
    folder, item = found
    where = show_path(end)
    if not end:
        raise UsageError("is the root directory, which cannot be replaced", where=where)
    check_name(end[-1], where)
    target = _folder_of(editor, end)
    if item.is_directory and _is_below(editor, item, end[:-1]):
        raise UsageError("is inside the directory to move", where=where)
    old = target.find(end[-1])
    if old and not (target is folder and old.last == item.last):
        if old.is_directory or item.is_directory:
            raise InputError("already exists", where=where, hint="remove it first")
        if not force:
            raise InputError("already exists", where=where, hint="replace it with --force")
        editor.remove(target, old)
    editor.move(item, folder, target, end[-1])


def _is_below(editor: FatEditor, item: Item, path: FilePath) -> bool:
    """Whether the path leads through that directory."""
    inner = editor.folder(item.entry.first_cluster)
    return any(find_folder(editor, path[:depth]) is inner for depth in range(len(path) + 1))

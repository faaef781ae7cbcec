"""An image that is made from a manifest while it is written, without an image file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from efi_image.build.plan import Plan, plan
from efi_image.config import manifest
from efi_image.config.environment import Setting, load
from efi_image.config.resolve import resolve
from efi_image.config.settings import Settings, merge
from efi_image.flash.chunker import DataSink
from efi_image.flash.source import ImageSource
from efi_image.io.sink import Sink
from efi_image.io.source import FileSource
from efi_image.progress import Progress, counter


class _PlanSink(Sink):
    """Gives the data of a planned image to another sink."""

    def __init__(self, to: DataSink, name: str) -> None:
        super().__init__(-1, name, digest=False)
        self._to = to

    def _write_at(self, view: memoryview, position: int) -> None:
        self._to.write_at(position, view)

    def _end(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class PlanSource(ImageSource):
    """An image that is made while it is written."""

    plan: Plan
    manifest: Path

    @property
    def name(self) -> str:
        return str(self.manifest)

    @property
    def size(self) -> int | None:
        return self.plan.size

    def copy_to(self, sink: DataSink, progress: Progress | None = None) -> int:
        made = _PlanSink(sink, self.name)
        made.progress = counter(progress, self.plan.payload)
        self.plan.write(made)
        made.finish()
        return self.plan.size

    def files(self) -> list[str]:
        return [each.name for each in self.plan.sources() if isinstance(each, FileSource)]


def plan_source(path: Path, sector_size: int) -> PlanSource:
    """The image that a manifest describes, planned; raises ZppError.

    Its sectors are the target's, unless the manifest says otherwise.
    """
    target = Settings.of(
        [
            Setting("sector-size", str(sector_size), "sectors of the target"),
            Setting("output-format", "raw", "default"),
            Setting("output", str(path.with_suffix(".img")), "default"),
        ]
    )
    found = manifest.load(path)
    values = {name: s for name, s in found.values.items() if name != "output"}
    settings = merge(load(), target, replace(found, values=values))
    return PlanSource(plan(resolve(settings)), path)

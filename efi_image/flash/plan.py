"""An image that is made while it is written, from a manifest; no file has it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from efi_image.build.esp import contents
from efi_image.build.image import Plan, plan_image, source_date
from efi_image.config.environment import Setting, load
from efi_image.config.manifest import load as load_manifest
from efi_image.config.options import Manifest
from efi_image.config.resolve import merge
from efi_image.flash.chunker import DataSink
from efi_image.flash.source import part_of
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
class PlanSource:
    """An image that is made while it is written."""

    plan: Plan
    name: str

    @property
    def size(self) -> int | None:
        return self.plan.size

    def copy_to(self, sink: DataSink, progress: Progress | None = None) -> int:
        made = _PlanSink(sink, self.name)
        made.progress = counter(progress, self.plan.payload)
        self.plan.write(made)
        made.finish()
        return self.plan.size

    def part(self, offset: int, count: int) -> bytes | None:
        return part_of(self, offset, count)

    def files(self) -> list[str]:
        sources = [file.source for file in self.plan.volume.demand.files]
        sources += [extra.source for extra in self.plan.options.partitions]
        return [source.name for source in sources if isinstance(source, FileSource)]


def plan_source(manifest: Path, sector_size: int) -> PlanSource:
    """The image that a manifest describes, planned; raises ZppError.

    Its sectors are the target's, unless the manifest says otherwise.
    """
    found = load_manifest(manifest)
    chosen = {
        "sector-size": Setting("sector-size", str(sector_size), "sectors of the target"),
        "digest": Setting("digest", "off", "default"),
        "output": Setting("output", str(manifest.with_suffix(".img")), "default"),
        "output-format": Setting("output-format", "raw", "default"),
    }
    keep = {name: s for name, s in found.settings.items() if name != "output"}
    merged = Manifest(chosen | keep, found.boots, found.files, found.partitions)
    recipe = merge(load(), merged)
    plan = plan_image(contents(recipe.esp_options()), recipe.image_options(source_date(os.environ)))
    return PlanSource(plan, str(manifest))

"""Build the documentation as a site: build_site.py OUTPUT (`make docs`).

Sphinx reads a copy of the pages, with the pages of the commands added. Every warning is an error:
a broken link or anchor, a page that the map (docs/README.md) does not name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from command_pages import write_pages

from efi_image import __version__

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "docs", "examples",
    "ovmf/README.md",
)  # fmt: skip
LINK = re.compile(r"\]\(([^)\s#]+\.md)")
# URLs that a browser would load from elsewhere
FOREIGN = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?\b(?:href|src)=["']?(?:https?:)?//[^>]*"""
    r"""|(?:@import|url\()\s*["']?(?:https?:)?//[^)"']*"""
)
TOCTREE = "\n```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n"
COMMANDS = "\n- [Commands](reference/commands/index.md)\n"
PROJECT = "docs/index\nexamples/index\novmf/index\nCONTRIBUTING\nSECURITY\nCHANGELOG"


def navigation(contents: str) -> str:
    """A toctree for each section of the map, with the pages that it names."""
    trees = []
    for section in contents.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        pages = [f"docs/{page.removesuffix('.md')}" for page in LINK.findall(text)]
        trees.append(TOCTREE.format(title, "\n".join(dict.fromkeys(pages))))
    return "".join((*trees, TOCTREE.format("Project", PROJECT)))


def copy_pages(source: Path) -> None:
    """The tracked pages and pictures, with a README as the index of its folder."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *PAGES)
    for name in subprocess.check_output(command, cwd=ROOT, text=True).split("\0"):
        if not name or not (ROOT / name).is_file():
            continue
        target = source / name.replace("README.md", "index.md")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            text = (ROOT / name).read_text(encoding="utf-8")
            target.write_text(re.sub(r"README\.md(?=[)#])", "index.md", text), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / name, target)


def write_source(source: Path) -> None:
    shutil.rmtree(source, ignore_errors=True)
    copy_pages(source)
    pages = source / "docs"
    write_pages(pages / "reference/commands")
    contents = (pages / "index.md").read_text(encoding="utf-8")
    contents = contents.replace("## Reference\n", f"## Reference\n{COMMANDS}")
    append(source / "index.md", navigation(contents))
    decisions = sorted(path.stem for path in (pages / "adr").glob("[0-9]*.md"))
    append(pages / "adr/index.md", TOCTREE.format("Decisions", "\n".join(decisions)))


def append(page: Path, text: str) -> None:
    with page.open("a", encoding="utf-8") as file:
        file.write(text)


def foreign(site: Path) -> list[str]:
    """The URLs that the pages would load from the network."""
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    return [
        f"{path.relative_to(site)}: {found}"
        for path in files
        for found in FOREIGN.findall(path.read_text(encoding="utf-8"))
    ]


def main() -> int:
    output = Path(sys.argv[1]).resolve()
    source = output.with_name("docs-source")
    write_source(source)
    shutil.rmtree(output, ignore_errors=True)
    done = subprocess.run(
        (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html",
         "-c", Path(__file__).parent, "-d", output.with_name("docs-trees"), source, output),
        env={**os.environ, "ZPP_VERSION": __version__}, check=False,
    )  # fmt: skip
    loaded = foreign(output)
    for line in loaded:
        print(f"docs: loads from the network: {line}", file=sys.stderr)
    return done.returncode or bool(loaded)


if __name__ == "__main__":
    sys.exit(main())

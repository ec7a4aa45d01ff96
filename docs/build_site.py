"""The documentation as a site that opens from disk, from the same Markdown: pip install '.[docs]', then

    python docs/build_site.py [-o site]

README.md is its first page, and a source file that a page links to becomes a page too, so that every link stays inside.
Exit status 1 if a link leads nowhere.
"""

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
HOMES = {"README.md": "index.md", "README.zh.md": "zh/index.md"}
MORE = ("CHANGELOG.md", "CONTRIBUTING.md")
PICTURES = (".png", ".gif", ".svg")
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
CONFIG = Path(__file__).with_name("site.toml")
FROM_AFAR = re.compile(r'<script src="https://[^"]*/iframe-worker/shim"')  # what search needs without a server
WORKER = Path(__file__).with_name("worker_from_disk.js")


def place_of(path: str) -> str:
    """Where a page or picture of the repository lies in the site's Markdown; a source file's page is under source/."""
    if path in HOMES:
        return HOMES[path]
    if path.startswith("docs/") and path.endswith((".md", *PICTURES)):
        return path.removeprefix("docs/")
    if path in MORE:
        return path
    return f"source/{path}" if Path(path).suffix in PICTURES else f"source/{path}.md"


def outside_of_code(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of Markdown, and whether each is text."""
    fenced = False
    for line in text.splitlines(keepends=True):
        fence = line.lstrip().startswith("```")
        yield line, not (fenced or fence)
        fenced ^= fence


def moved(text: str, path: str, linked: set[str]) -> str:
    """A page of the repository with its links as they are in the site; other files it links to are `linked`."""

    def move(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        linked.add(there)
        new = posixpath.relpath(place_of(there), posixpath.dirname(place_of(path)) or ".")
        return f"{match[1]}{new}{'#' * bool(anchor)}{anchor}{match[3]}"

    return "".join(LINK.sub(move, line) if is_text else line for line, is_text in outside_of_code(text))


def source_page(path: str) -> str:
    """A file or folder of the repository as a page."""
    here = ROOT / path
    if here.is_dir():
        return f"# {path}\n\n" + "\n".join(f"- `{each.name}`" for each in sorted(here.iterdir())) + "\n"
    language = {".py": "python", ".json": "json", ".cff": "yaml", ".toml": "toml"}.get(here.suffix, "text")
    text = here.read_text(encoding="utf-8")
    head = "" if here.suffix == ".py" else "---\nsearch:\n  exclude: true\n---\n\n"
    return f"{head}# {path}\n\n````{language}\n{text if len(text) < 200_000 else text[:2_000] + '…'}\n````\n"


def stage(pages: Path) -> None:
    """All Markdown and pictures of the site in the folder `pages`."""
    linked = set[str]()
    documents = [*(name for name in HOMES if (ROOT / name).exists()), *MORE]
    documents += [str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))]
    for path in documents:
        written = pages / place_of(path)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(moved((ROOT / path).read_text(encoding="utf-8"), path, linked), encoding="utf-8")
    for path in sorted(linked - set(documents)):
        copy = pages / place_of(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).suffix in PICTURES:
            shutil.copyfile(ROOT / path, copy)
        elif (ROOT / path).exists():
            copy.write_text(source_page(path), encoding="utf-8")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.loaded, self.anchors = list[str](), set[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "base":
                self.links.append(value)
                self.loaded |= {value} if tag in ("script", "link", "img", "iframe") else set()


def dead_links(site: Path) -> list[str]:
    """Every link that leads to no file or to no heading, and everything that a page would load from afar."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    dead = list[str]()
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                dead += [f"{path.relative_to(site)}: {link} (from afar)"] if link in page.loaded else []
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            if not there.exists():
                dead.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
                dead.append(f"{path.relative_to(site)}: {link} (no such heading)")
    return dead


def build(out: Path) -> list[str]:
    """The site in the folder `out`, which is replaced; returns its dead links."""
    if out.exists() and any(out.iterdir()) and not (out / WORKER.name).exists():
        raise SystemExit(f"{out} holds other files than a site; choose another -o")
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder) / "pages")
        (Path(folder) / "zensical.toml").write_bytes(CONFIG.read_bytes())
        subprocess.run([sys.executable, "-m", "zensical", "build", "--clean"], cwd=folder, check=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(folder) / "site", out)
    shutil.copyfile(WORKER, out / WORKER.name)
    for page in out.rglob("*.html"):
        own = posixpath.relpath(WORKER.name, page.parent.relative_to(out).as_posix())
        page.write_text(FROM_AFAR.sub(f'<script src="{own}"', page.read_text(encoding="utf-8")), encoding="utf-8")
    return dead_links(out.resolve())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument(
        "-o", type=Path, default=ROOT / "site", metavar="DIR", help="the folder, which is replaced (site)"
    )
    args = parser.parse_args(argv)
    dead = build(args.o)
    for line in dead:
        print(f"dead link in {line}", file=sys.stderr)
    print(f"site: {args.o / 'index.html'}", file=sys.stderr)
    return 1 if dead else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What a finished site must not have: dead links, and requests to other machines."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href", "use": "href"}


class Page(HTMLParser):
    """The anchors of a page, its links, and the files that a browser loads with it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        text = file.read_text(encoding="utf-8")
        self.feed(text)
        self.loads += re.findall(r"url\([\"']?([^)\"']+)", text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get(LOADS.get(tag, "")):
            self.loads.append(found[LOADS[tag]])


def faults(site: Path) -> list[str]:
    """One line for each fault."""
    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    found = []
    for file, page in pages.items():
        name = file.relative_to(site)
        found += [f"{name}: loads {t}" for t in page.loads if urlsplit(t).scheme in ("http", "https") or t[:2] == "//"]
        for target in page.links + page.loads:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            other = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not other.is_file():
                found.append(f"{name}: a dead link to {target}")
            elif parts.fragment and other in pages and unquote(parts.fragment) not in pages[other].anchors:
                found.append(f"{name}: a link to a missing place, {target}")
    for style in site.rglob("*.css"):
        urls = re.findall(r"url\([\"']?([^)\"']+)|@import\s+[\"']([^\"']+)", style.read_text(encoding="utf-8"))
        found += [
            f"{style.relative_to(site)}: loads {u}" for pair in urls for u in pair if u.startswith(("http", "//"))
        ]
    return found

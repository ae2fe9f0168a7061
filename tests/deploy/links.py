"""Every link of the Markdown files leads somewhere: to a file of the repository, and to a heading that is there. Nothing is asked over
the network.
"""

import re
import subprocess

HEADING = re.compile(r"^#{1,6} +(.*?)\s*$", re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(text):
    """Without code, where brackets mean something else."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"^(?:    |\t).*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`", "`", text)


def anchors(text):
    """As GitHub makes them."""
    found = {}
    for heading in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        count = found.get(words, -1) + 1
        found[words] = count
        if count:
            found[f"{words}-{count}"] = 0
    return set(found)


def check(root):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    files = [root / name for name in listed.stdout.splitlines()]
    texts = {file: file.read_text() for file in files if file.exists()}
    faults, checked = [], 0
    for file, text in texts.items():
        for link in LINK.findall(prose(text)):
            if link.startswith(("http://", "https://", "mailto:")):
                continue
            checked += 1
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            where = f"{file.relative_to(root)}: {link}"
            if not target.exists():
                faults.append(f"{where}: there is no such file")
            elif anchor and target.suffix == ".md" and anchor not in anchors(texts.get(target) or target.read_text()):
                faults.append(f"{where}: it has no such heading")
    pages = {file for file in texts if file.parent == root / "docs"}
    nav = (root / "deploy/site.yaml").read_text()
    faults += [f"deploy/site.yaml leaves out {page.name}" for page in sorted(pages) if f" {page.name}\n" not in nav]
    return faults, checked

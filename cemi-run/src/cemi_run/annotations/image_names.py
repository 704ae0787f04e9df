"""Names of images: from paths, addresses and upload names to the file in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cemi_core.errors import InputError
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_headers

# Label Studio puts eight digits of a UUID before the name of an uploaded file.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
# What people append to, or put before, the name of an image to name its mask or its regions.
_MASK_ENDING = re.compile(r"[ _.\-]+(masks?|labels?|seg(mentation)?|annotations?|rois?(et)?|roiset|gt)$", re.IGNORECASE)
_MASK_BEGINNING = re.compile(r"^(masks?|labels?|seg|roiset)[ _.\-]+", re.IGNORECASE)


def file_name(written: str) -> str:
    r"""Return the name of an image's file without folders, drive, address or query.

    Examples
    --------
    >>> file_name("C:\\data\\a.tif"), file_name("https://x.org/up/my%20image.png?s=1")
    ('a.tif', 'my image.png')
    >>> file_name("/data/local-files/?d=sem/a.tif"), file_name("/data/upload/3/1a2b3c4d-a.tif")
    ('a.tif', 'a.tif')
    """
    name = written.strip()
    is_address = re.match(r"^[a-z][a-z0-9+.\-]+://", name, re.IGNORECASE) is not None
    if is_address or name.startswith("/data/"):
        address = urlsplit(name)
        local = parse_qs(address.query).get("d")
        name = local[0] if local else unquote(address.path)
    uploaded = "/upload/" in name.replace("\\", "/") or name.startswith("upload/")
    name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return _UPLOAD_PREFIX.sub("", name) if uploaded else name


class KnownImages:
    """The images that annotations belong to, found by name.

    Parameters
    ----------
    images : Path, str, mapping or None
        A folder; or (height, width) in px by file name; or None if nothing is known.

    Raises
    ------
    InputError
        The folder does not exist or holds no image.
    """

    def __init__(self, images: Path | str | Mapping[str, tuple[int, int]] | None) -> None:
        self.known = images is not None
        self._shapes: dict[str, tuple[int, int]] = {}
        self._folder: Path | None = None
        if isinstance(images, Mapping):
            self._shapes = {name: (int(h), int(w)) for name, (h, w) in images.items()}
            names = list(self._shapes)
        elif images is not None:
            self._folder = Path(images)
            if not self._folder.is_dir():
                raise InputError(f"'{images}' is not a folder with images")
            names = sorted(p.name for p in self._folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not names:
                raise InputError(f"folder '{images}' holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        else:
            names = []
        self._names = frozenset(names)
        self._by_key: dict[str, list[str]] = {}
        for name in names:
            stem = Path(name).stem.casefold()
            for key in {name.casefold(), stem, stem.removesuffix(".ome")}:
                self._by_key.setdefault(key, []).append(name)

    def find(self, name: str) -> str | None:
        """Return the image that a name without folders means, or None.

        It may differ in case and suffix, and have the ending of a mask (``"a_mask.png"`` for ``"a.tif"``) or the
        prefix of an upload.
        """
        if name in self._names:
            return name
        for guess in _guesses(name):
            found = self._by_key.get(guess.casefold(), [])
            if len(found) == 1:
                return found[0]
        return None

    def shape(self, name: str) -> tuple[int, int]:
        """Return (height, width) in px of a known image.

        Raises
        ------
        InputError
            Its file is damaged.
        """
        if name not in self._shapes:
            assert self._folder is not None
            self._shapes[name] = read_headers(self._folder / name)[0].shape
        return self._shapes[name]


def _guesses(name: str) -> Iterator[str]:
    """Yield what a name may mean, the most literal first."""
    stem = name
    while True:
        yield stem
        plain = _UPLOAD_PREFIX.sub("", stem)
        if plain != stem:
            yield plain
        shorter = Path(stem).stem
        if shorter == stem:
            break
        stem = shorter
    for plain in (stem, _UPLOAD_PREFIX.sub("", stem)):
        yield _MASK_BEGINNING.sub("", _MASK_ENDING.sub("", plain))

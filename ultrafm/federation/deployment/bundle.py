"""The app bundle that Flower ships to sites: it holds no code, only the names of two apps that are installed there.

A site looks into every bundle before it is unpacked, and takes no other than its own version's.
"""

from __future__ import annotations

import io
import tomllib
import zipfile

from flwr.cli.build import build_fab_from_files

from ultrafm import __version__
from ultrafm.errors import UltraFMError

FILES = ["pyproject.toml", ".info/CONTENT"]
LARGEST = 1 << 16  # bytes of a file of the bundle
PYPROJECT = f"""[project]
name = "ultrafm-federation"
version = "{__version__}"
description = "Names the apps of ultrafm {__version__}, which is installed at every site"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "ultrafm"

[tool.flwr.app.components]
serverapp = "ultrafm.federation.server_app:app"
clientapp = "ultrafm.federation.client_app:app"

[tool.flwr.app.config]
plan = ""
"""


def make_bundle() -> bytes:
    """The bundle (FAB) of this version."""
    return build_fab_from_files({"pyproject.toml": PYPROJECT.encode()})[0]


def check_bundle(bundle: bytes) -> None:
    """Raises UltraFMError when a bundle holds anything but the names of this version's apps."""
    mend = "install the coordinator's version of ultrafm; if it is the same, ask the coordinator who sent code"
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if names != FILES or any(entry.file_size > LARGEST for entry in entries):
                raise UltraFMError("app bundle", f"the files {', '.join(names)[:200]}", "no code: only names", mend)
            config = tomllib.loads(archive.read(FILES[0]).decode())
    except (zipfile.BadZipFile, ValueError) as error:
        raise UltraFMError("app bundle", f"what cannot be read ({error})", "names of apps", mend) from None
    if config != tomllib.loads(PYPROJECT):
        version = config.get("project", {}).get("version") if isinstance(config.get("project"), dict) else None
        raise UltraFMError("app bundle", f"other names or version {version}", f"those of ultrafm {__version__}", mend)

"""The manifests' shape as JSON Schema, so that editors complete and check a manifest while it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ultrafm.files import write_text
from ultrafm.manifests.schema import SiteManifest
from ultrafm.manifests.vocabulary import FIELD_LISTS, UNKNOWN, Vocabulary, load_vocabulary

FILE = "manifest.schema.json"
EDITOR_LINE = f"# yaml-language-server: $schema={FILE}"  # the first line of a manifest; most editors know it


def json_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a site manifest, with the vocabulary's words as the choices.

    It knows the shape and the words of single fields; rules between fields are left to `ultrafm manifests check`.
    """
    schema = SiteManifest.model_json_schema()
    parts, fields = schema["$defs"], schema["properties"]
    labels = [*vocabulary.labels, UNKNOWN]
    for name in FIELD_LISTS.values():
        fields[name]["items"] = {"enum": list(getattr(vocabulary, name))}
    fields["label_map"]["additionalProperties"] = {"enum": labels}
    for name, known in FIELD_LISTS.items():
        parts["WordMap"]["properties"][name]["additionalProperties"] = {"enum": _or_unknown(vocabulary, known)}
    phantom = parts["PhantomSource"]["properties"]
    phantom["findings"]["propertyNames"] = {"enum": labels}
    phantom["findings_by_organ"]["propertyNames"] = {"enum": list(vocabulary.organs)}
    phantom["findings_by_organ"]["additionalProperties"]["propertyNames"] = {"enum": labels}
    parts["Device"]["properties"]["scan_mode"] = {"enum": list(vocabulary.scan_modes)}
    for kind in ("FolderSource", "ArchiveSource", "HubSource", "DicomSource", "VideoSource"):
        for name, known in FIELD_LISTS.items():
            parts[kind]["properties"][name]["anyOf"] = [{"enum": _or_unknown(vocabulary, known)}, {"type": "null"}]
    task = parts["Task"]["properties"]
    task["organ"]["anyOf"] = [{"enum": list(vocabulary.organs)}, {"type": "null"}]
    task["disease"]["anyOf"] = [{"enum": list(vocabulary.diseases)}, {"type": "null"}]
    for side in ("positive", "negative"):
        task[side]["items"] = {"enum": list(vocabulary.labels)}
    task["classes"]["additionalProperties"]["items"] = {"enum": [*vocabulary.labels, *vocabulary.organs]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _or_unknown(vocabulary: Vocabulary, known: str) -> list[str]:
    """The words of one of the vocabulary's lists, and unknown, each once."""
    return list(dict.fromkeys([*getattr(vocabulary, known), UNKNOWN]))


def write_json_schema(folder: Path) -> Path:
    """Write manifest.schema.json beside the manifests of a folder, from its vocabulary; the path of the file."""
    target = Path(folder) / FILE
    text = json.dumps(json_schema(load_vocabulary(folder)), indent=1, ensure_ascii=False)
    write_text(target, text + "\n")
    return target

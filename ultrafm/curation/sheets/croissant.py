"""A curated site as Croissant: metadata in JSON-LD with which other programs find, judge and read the store.

Croissant 1.1 with its RAI vocabulary (mlcommons.org/croissant, Akhtar et al. 2024). Nothing in it changes between runs
over the same input: dates come in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ultrafm.curation.sheets.counting import UNKNOWN
from ultrafm.curation.sheets.fields import FIELDS
from ultrafm.curation.sheets.licences import licence_addresses
from ultrafm.curation.sheets.markdown import deidentification_lines
from ultrafm.files import hash_file, write_json

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in TERMS},
}
SIMULATED = "The images are simulated by a phantom with known truth; no person was scanned."
TABLE, SHARDS, RECORDS = "images.parquet", "store-shards", "images"


def write_croissant(
    target: Path, sheet: Mapping[str, Any], parquet: Path, published: str | None = None, version: str = "1.0.0"
) -> dict[str, Any]:
    """Write the metadata of a site to `target` (beside `parquet` and the folder store/) and return it.

    `sheet` is the site's data sheet, `parquet` the finished images.parquet. `published` is a date ("2026-11-25") that
    the site stands for; readers of Croissant recommend one, and without it they warn. `version` is that of the store.
    """
    made = make_croissant(sheet, parquet, published, version)
    write_json(target, made)
    return made


def make_croissant(
    sheet: Mapping[str, Any], parquet: Path, published: str | None = None, version: str = "1.0.0"
) -> dict[str, Any]:
    """The value that `write_croissant` writes."""
    origin = sheet["origin"]
    dates = {"datePublished": published} if published else {}
    address = {"url": origin["address"]} if str(origin["address"]).startswith(("http://", "https://")) else {}
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": sheet["site"],
        "description": _description(sheet),
        "citeAs": origin["citation"],
        "license": licence_addresses(origin["licence"]) or [origin["licence"]],
        "conditionsOfAccess": sheet["carried"]["sentence"],
        "publisher": {"@type": "sc:Organization", "name": origin["publisher"]},
        "keywords": _keywords(sheet),
        **address,
        **dates,
        "version": version,
        **_responsible(sheet),
        "distribution": _files(parquet),
        "recordSet": [_records(pyarrow.parquet.read_schema(parquet))],
    }


def _description(sheet: Mapping[str, Any]) -> str:
    kind = SIMULATED if sheet["images"] == "simulated" else "The images are real."
    side = sheet["settings"].get("image_size")
    size = f" of {side} x {side} pixels" if side else ""
    return (
        f"{sheet['title']}: {sheet['flow']['kept']} curated, de-identified ultrasound images{size} of "
        f"{sheet['patients']} patients, with folds by patient. {kind}"
    )


def _keywords(sheet: Mapping[str, Any]) -> list[str]:
    words = [word for column in ("organ", "modality", "scan_mode", "label") for word in sheet["counts"][column]]
    known = [word for word in words if word != UNKNOWN]
    return list(dict.fromkeys(["ultrasound", f"{sheet['images']} images", *known]))


def _responsible(sheet: Mapping[str, Any]) -> dict[str, Any]:
    """What the RAI vocabulary asks: how the data came about, whom they show, what they are not fit for."""
    simulated = sheet["images"] == "simulated"
    country = sheet["origin"]["country"]
    collected = SIMULATED if simulated else f"Ultrasound examinations at one site ({country}): {sheet['title']}."
    left_out = sum(entry["images"] for entry in sheet["left_out"])
    return {
        "rai:dataCollection": f"{collected} {sheet['flow']['rows']} files or frames were listed, {left_out} left out.",
        "rai:dataCollectionType": ["Others" if simulated else "Secondary Data analysis"],
        "rai:dataPreprocessingProtocol": [
            "Decoded to grey, cut to the scan area, fitted into a square with black borders; duplicates and pictures "
            "of too low quality left out; patients dealt into folds by hash.",
            *deidentification_lines(sheet),
        ],
        "rai:dataBiases": _biases(sheet),
        "rai:personalSensitiveInformation": [_personal(sheet)],
        "rai:dataLimitations": list(sheet["notes"]),
        "rai:dataUseCases": [
            "Pre-training, diagnosis and segmentation in a study of methods. Not for decisions about patients."
        ],
    }


def _biases(sheet: Mapping[str, Any]) -> list[str]:
    labels = ", ".join(f"{name} {both['images']}" for name, both in sheet["counts"]["label"].items())
    return [
        f"One site, with its scanners and the patients that come to it. Images by label: {labels}.",
        "Age, sex, ethnicity and body size of the patients are not in the store, so that no balance was checked.",
    ]


def _personal(sheet: Mapping[str, Any]) -> str:
    if sheet["images"] == "simulated":
        return "None: no person was scanned."
    return (
        "Health data of persons. Names, numbers and dates were removed; patients and clips carry hashes, which are "
        "pseudonyms and not anonymity."
    )


def _files(parquet: Path) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:FileObject", "@id": TABLE, "name": TABLE, "contentUrl": TABLE,
            "description": "One row for each image, without the pictures.",
            "contentSize": f"{parquet.stat().st_size} B", "encodingFormat": "application/x-parquet",
            "sha256": hash_file(parquet),
        },
        {
            "@type": "cr:FileSet", "@id": SHARDS, "name": SHARDS, "includes": "store/*.arrow",
            "description": "Arrow shards of a Hugging Face data set: the same rows with image, sector and mask as PNG.",
            "encodingFormat": "application/vnd.apache.arrow.stream",
        },
    ]  # fmt: skip


def _records(schema: pa.Schema) -> dict[str, Any]:
    fields = [_field(column) for column in schema if not column.name.startswith("__")]
    return {
        "@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS,
        "description": "The images of the store, one record each.",
        "key": {"@id": f"{RECORDS}/image_id"}, "field": fields,
    }  # fmt: skip


def _field(column: pa.Field) -> dict[str, Any]:
    listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    kind = column.type.value_type if listed else column.type
    array = {"isArray": True, "arrayShape": "-1"} if listed else {}
    return {
        "@type": "cr:Field", "@id": f"{RECORDS}/{column.name}", "name": column.name,
        "description": FIELDS.get(column.name, column.name.replace("_", " ")), "dataType": _data_type(kind), **array,
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column.name}},
    }  # fmt: skip


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"

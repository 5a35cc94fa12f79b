"""Commands of the reader statistics: analyse a ratings table, plan a study, take readings over from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from ultrafm.cli.room import add_room
from ultrafm.errors import UltraFMError


def add_readers(commands) -> None:
    """`ultrafm readers ...`: multi-reader multi-case statistics of a ratings table, and the reading room."""
    readers = commands.add_parser("readers", help="reading room and reader statistics").add_subparsers(
        required=True, metavar="ACTION"
    )
    add_analyse(readers)
    add_power(readers)
    add_import(readers)
    add_room(readers)


def add_analyse(readers) -> None:
    """`ultrafm readers analyse`: from a ratings table to tests, intervals and a sentence."""
    analyse = readers.add_parser("analyse", help="analyse a ratings table")
    analyse.add_argument("ratings", type=Path)
    analyse.add_argument("--ai", help="name of the reader that is the AI; without it modalities are compared")
    analyse.add_argument("--cluster", choices=("patient",), help="column whose cases belong together")
    estimate = "how the covariance due to cases is estimated (default: delong; jackknife for a partial AUROC)"
    analyse.add_argument("--covariance", choices=("delong", "jackknife", "bootstrap"), help=estimate)
    analyse.add_argument(
        "--margin", type=float, help="non-inferiority margin of the AI; superiority is tested after it"
    )
    analyse.add_argument("--equivalence", type=float, help="margin of the equivalence of AI and readers")
    claim = "a claim stated beforehand, KIND:LEVEL[:MARGIN], such as equivalence:expert:0.05; Holm over all"
    analyse.add_argument("--claim", action="append", default=[], help=claim)
    analyse.add_argument("--by", choices=("level",), help="also analyse the readers of each value of this column")
    add_endpoint(analyse)
    floor = "count a negative Cov2 - Cov3 as zero in all models, as RJafroc does; the default is MRMCaov's way"
    analyse.add_argument("--floor", action="store_true", help=floor)
    analyse.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    analyse.add_argument("--tables", type=Path, help="write the tables as CSV and LaTeX into this folder")
    analyse.add_argument("--json", type=Path, help="write everything to this file")
    analyse.set_defaults(run=run_analyse)


def add_endpoint(parser) -> None:
    """What is measured on each curve."""
    kinds = ("auc", "partial_auc", "sensitivity", "specificity", "diagnosis")
    parser.add_argument("--endpoint", choices=kinds, default="auc", help="what is compared (default: auc)")
    parser.add_argument("--min-specificity", type=float, default=0.8, help="where a partial AUROC begins")
    parser.add_argument("--threshold", type=float, help="readers: a rating of at least this is a positive call")
    parser.add_argument("--ai-threshold", type=float, help="the AI's threshold, fixed before the study")


def run_analyse(options: argparse.Namespace) -> int:
    """Analyse a ratings table, print the summary, write the JSON file."""
    from ultrafm.readers import Endpoint, analyse_file, summarise
    from ultrafm.readers.claims import parse_claim

    endpoint = Endpoint(
        options.endpoint, options.min_specificity, threshold=options.threshold, ai_threshold=options.ai_threshold
    )
    covariance = options.covariance or ("jackknife" if options.endpoint == "partial_auc" else "delong")
    found = analyse_file(
        options.ratings, options.json, ai=options.ai, cluster=options.cluster, covariance=covariance,
        margin=options.margin, by=options.by, endpoint=endpoint, equivalence=options.equivalence,
        claims=[parse_claim(text) for text in options.claim], seed=options.seed,
        floor=options.floor,
    )  # fmt: skip
    print(summarise(found))
    if options.tables:
        from ultrafm.readers.exchange import export_tables

        export_tables(found, options.tables)
    return 0


def add_power(readers) -> None:
    """`ultrafm readers power`: power and sample size of a planned study, from a pilot study."""
    power = readers.add_parser("power", help="power of a planned study, and the cases that it needs")
    power.add_argument("pilot", type=Path, help="ratings table of a pilot study")
    power.add_argument("--effect", type=float, required=True, help="true difference (AI minus readers, or modalities)")
    power.add_argument("--ai", help="name of the reader that is the AI; without it the two modalities are compared")
    power.add_argument("--cluster", choices=("patient",), help="column whose cases belong together")
    power.add_argument("--margin", type=float, help="non-inferiority margin: power of that test instead")
    power.add_argument("--readers", default="5,6,8,10,12", help="numbers of readers (default: 5,6,8,10,12)")
    power.add_argument("--cases", default="50,100,200,400,800", help="numbers of cases (default: 50,100,200,400,800)")
    power.add_argument("--power", type=float, default=0.8, help="wanted power (default: 0.8)")
    power.set_defaults(run=run_power)


def run_power(options: argparse.Namespace) -> int:
    """Print power by readers and cases, and the cases that are needed."""
    from ultrafm.readers import analyse_file
    from ultrafm.readers.power import pilot_from, power_table, size_table

    if options.margin is not None and options.ai is None:
        raise UltraFMError("--margin", "a margin without an AI", "--ai NAME as well")
    readers, cases = (whole_numbers(name, getattr(options, name)) for name in ("readers", "cases"))
    check_effect(options.effect, options.margin)
    found = analyse_file(options.pilot, ai=options.ai, cluster=options.cluster)
    pilot = pilot_from(found)
    told = {} if options.margin is None else {"margin": options.margin}
    print(plan_text(found, options))
    print(power_table(pilot, options.effect, readers, cases, **told).to_string(float_format="%.3f"))
    sizes = size_table(pilot, options.effect, readers, options.power, **told)
    print(f"\n{sizes.astype('string').fillna('not reached').to_string(index=False)}")
    return 0


def check_effect(effect: float, margin: float | None) -> None:
    """UltraFMError for a difference or margin that no AUROC can have, or that the test cannot find."""
    mend = "AUROC runs from 0 to 1: write 0.05 for five points"
    if not -1 < effect < 1:
        raise UltraFMError("--effect", f"{effect:g}", "a difference between -1 and 1", mend)
    if margin is None and effect == 0:
        mend = "power to show that the AI is no worse: --margin as well"
        raise UltraFMError("--effect", "0 without a margin", "a difference that is to be found, such as 0.05", mend)
    if margin is not None and not 0 < margin < 1:
        raise UltraFMError("--margin", f"{margin:g}", "a difference above 0 and below 1, such as 0.05", mend)
    if margin is not None and effect <= -margin:
        found = f"{effect:g} with margin {margin:g}"
        raise UltraFMError("--effect", found, f"above {-margin:g}: an AI that much worse is not non-inferior")


def plan_text(found: dict, options: argparse.Namespace) -> str:
    """What power is computed of, and what it rests on: the pilot study, the test, the assumptions."""
    counts = found["counts"]
    share = counts["diseased"] / (counts["diseased"] + counts["healthy"])
    clusters = "" if counts["clusters"] is None else f" of {counts['clusters']} {options.cluster}s"
    if options.ai is None:
        test = "two-sided test that the modalities differ, alpha 0.05"
    elif options.margin is None:
        test = f"two-sided test that {options.ai} and readers differ, alpha 0.05"
    else:
        test = f"one-sided test that {options.ai} is non-inferior to readers, margin {options.margin:g}, alpha 0.025"
    where = found.get("ai_versus_readers", {})
    modality = f"; readers in modality {where['modality']}" if "by_modality" in where else ""
    lines = [
        f"Pilot    {options.pilot.name}: {counts['readers']} readers, {counts['cases']} cases{clusters}{modality}",
        f"Test     {test}; random readers and random cases",
        f"Assumed  true difference {options.effect:g}; variances of the pilot, {found['covariance_name']}; "
        f"{share:.0%} of cases diseased" + (f", as many cases a {options.cluster}" if clusters else ""),
        *(f"Warning: {text}." for text in found["warnings"]),
    ]
    return "\n".join([*lines, "", "Power"])


def add_import(readers) -> None:
    """`ultrafm readers import`: readings from elsewhere as a ratings table."""
    take = readers.add_parser("import", help="make a ratings table of readings that were collected elsewhere")
    take.add_argument("table", type=Path, help="CSV")
    take.add_argument("--out", type=Path, required=True, help="the ratings table")
    take.add_argument("--form", choices=("long", "wide", "mrmcaov", "imrmc"), default="long")
    mapped = "our name and their column, such as case=image; again for each"
    take.add_argument("--column", action="append", default=[], help=mapped)
    wide = "wide form: their column, reader and modality, such as 'R1 aided=R1:aided'; again for each"
    take.add_argument("--reading", action="append", default=[], help=wide)
    take.add_argument("--modality", help="the modality of all readings, where no column says it")
    take.add_argument("--positive", help="the word of the truth column that means diseased")
    take.add_argument("--decimal-comma", action="store_true", help="numbers are written as 0,5 and not as 0.5")
    take.set_defaults(run=run_import)


def run_import(options: argparse.Namespace) -> int:
    """Read, rename, check, write."""
    from ultrafm.files import write_text
    from ultrafm.readers.exchange import FORMS, from_imrmc, from_long, from_wide
    from ultrafm.spreadsheet import read_spreadsheet

    if not options.table.is_file():
        raise UltraFMError(str(options.table), "no such file", "a CSV of readings")
    table, name = read_spreadsheet(options.table, str(options.table)), options.table.name
    if options.decimal_comma:
        table = table.replace(r"^([+-]?\d*),(\d+)$", r"\1.\2", regex=True)
    columns = dict(pair("--column", text, "=") for text in options.column)
    if options.form == "imrmc":
        made = from_imrmc(table, name)
    elif options.form == "wide":
        readings = {
            theirs: pair("--reading", text, ":")
            for theirs, text in (pair("--reading", one, "=") for one in options.reading)
        }
        made = from_wide(table, readings, columns, options.positive, name)
    else:
        fixed = {"modality": options.modality} if options.modality else {}
        made = from_long(table, {**FORMS.get(options.form, {}), **columns}, fixed, options.positive, name)
    write_text(options.out, made.to_csv(index=False))
    print(
        f"{len(made)} readings of {made['case'].nunique()} cases by {made['reader'].nunique()} readers: {options.out}"
    )
    return 0


def pair(option: str, text: str, mark: str) -> tuple[str, str]:
    """Both sides of a mark. UltraFMError when there is none."""
    left, found, right = text.rpartition(mark)
    if not found or not left or not right:
        mend = {"--column": "--column case=image", "--reading": "--reading 'R1 aided=Kim:aided'"}[option]
        raise UltraFMError(option, repr(text), f"two words with {mark!r} between them", f"write it as {mend}")
    return left.strip(), right.strip()


def whole_numbers(name: str, text: str) -> list[int]:
    """Whole numbers with commas between them. UltraFMError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UltraFMError(f"--{name}", repr(text), "whole numbers with commas between them") from error

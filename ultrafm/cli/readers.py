"""Commands of the reader statistics: analyse a ratings table."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_readers(commands) -> None:
    """`ultrafm readers ...`: multi-reader multi-case statistics of a ratings table."""
    readers = commands.add_parser("readers", help="reader statistics").add_subparsers(required=True, metavar="ACTION")
    add_analyse(readers)


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
    analyse.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
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
    )  # fmt: skip
    print(summarise(found))
    return 0

"""Made-up people behind simulated patients, for files that name one; nobody of that name was scanned."""

from __future__ import annotations

from dataclasses import dataclass

from ultrafm.seeds import spawn

GIVEN = ("Ottoline", "Peregrine", "Isolde", "Thaddeus", "Clementina", "Barnaby", "Philippa", "Augustin")
FAMILY = ("Quillfeather", "Mossgrove", "Thistlewick", "Larkmere", "Winterbourne", "Copperfinch", "Ravensdale")


@dataclass(frozen=True)
class Identity:
    """A made-up person, as a header names one."""

    name: str
    number: str
    birth: str
    sex: str
    physician: str


def draw_identity(seed: int, site: str, patient: int) -> Identity:
    """The person behind a simulated patient; who that is has nothing to do with what the pictures show."""
    generator = spawn(seed, "phantom identity", site, patient)
    family, given, doctor = generator.choice(FAMILY), generator.choice(GIVEN), generator.choice(FAMILY)
    birth = f"{generator.integers(1930, 2005)}{generator.integers(1, 13):02d}{generator.integers(1, 29):02d}"
    number = f"MRN{generator.integers(10**7, 10**8)}"
    return Identity(f"{family}^{given}", number, birth, str(generator.choice(["F", "M", "O"])), f"{doctor}^Dr")

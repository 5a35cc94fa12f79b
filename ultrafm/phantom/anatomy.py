"""The 19 organs: how each is drawn, where a lesion may lie in it, and with which modalities it is sensibly scanned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ultrafm.errors import UltraFMError, nearest
from ultrafm.phantom import abdominal, cavities, superficial
from ultrafm.phantom.grid import Grid
from ultrafm.phantom.lesions import LESION_LABELS
from ultrafm.phantom.tissue import Tissue, blank_tissue, texture

ALWAYS = ("B-mode", "harmonic B-mode")
FLOW = ("colour Doppler", "power Doppler")
SPECTRAL, STRAIN, CONTRAST, SWEEP = "spectral Doppler", "strain elastography", "contrast-enhanced", "3-D sweep"


Draw = Callable[[Tissue, Grid, np.random.Generator], None]


@dataclass(frozen=True)
class Organ:
    """How an organ is drawn. A lesion's middle lies within `lesion_x` (shares of the scan's half width) and `lesion_y`.

    `modalities` are those that make sense for the organ besides B-mode and harmonic B-mode. `diseased`: label -> how
    the whole organ is drawn with a disease that is no lesion.
    """

    draw: Draw
    lesion_x: tuple[float, float]
    lesion_y: tuple[float, float]
    modalities: tuple[str, ...]
    diseased: Mapping[str, Draw] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """What a patient may have here."""
        return ("normal", *LESION_LABELS, *self.diseased)


ORGANS: dict[str, Organ] = {
    "breast": Organ(superficial.draw_breast, (-0.5, 0.5), (0.36, 0.58), (*FLOW, STRAIN, SWEEP)),
    "thyroid": Organ(superficial.draw_thyroid, (-0.4, 0.4), (0.40, 0.54), (*FLOW, STRAIN)),
    "carotid artery": Organ(superficial.draw_carotid, (-0.5, 0.5), (0.36, 0.60), (*FLOW, SPECTRAL)),
    "skeletal muscle": Organ(superficial.draw_muscle, (-0.5, 0.5), (0.36, 0.62), (*FLOW, STRAIN, "M-mode")),
    "peripheral nerve": Organ(superficial.draw_nerve, (-0.5, 0.5), (0.36, 0.60), FLOW),
    "lymph node": Organ(superficial.draw_lymph_node, (-0.5, 0.5), (0.36, 0.62), (*FLOW, STRAIN, CONTRAST)),
    "liver": Organ(abdominal.draw_liver, (-0.45, 0.45), (0.38, 0.66), (*FLOW, SPECTRAL, CONTRAST, SWEEP, STRAIN)),
    "gallbladder": Organ(abdominal.draw_gallbladder, (-0.4, 0.4), (0.40, 0.62), (*FLOW, CONTRAST)),
    "pancreas": Organ(abdominal.draw_pancreas, (-0.4, 0.4), (0.40, 0.60), (*FLOW, CONTRAST, "endoscopic")),
    "kidney": Organ(abdominal.draw_kidney, (-0.4, 0.4), (0.40, 0.64), (*FLOW, SPECTRAL, CONTRAST)),
    "appendix": Organ(abdominal.draw_appendix, (-0.4, 0.4), (0.38, 0.60), FLOW),
    "colorectum": Organ(abdominal.draw_colorectum, (-0.35, 0.35), (0.36, 0.56), ("endoscopic", STRAIN, *FLOW)),
    "heart": Organ(cavities.draw_heart, (-0.4, 0.4), (0.38, 0.66), ("colour Doppler", SPECTRAL, "M-mode", CONTRAST),
                   {"valve disease": partial(cavities.draw_heart, narrow_valve=True)}),
    "lung": Organ(cavities.draw_lung, (-0.3, 0.3), (0.34, 0.48), ("M-mode",), cavities.LUNG_DISEASES),
    "brain": Organ(cavities.draw_brain, (-0.4, 0.4), (0.38, 0.66), (SWEEP, "colour Doppler", SPECTRAL)),
    "fetus": Organ(cavities.draw_fetus, (-0.35, 0.35), (0.42, 0.66), (SWEEP, "colour Doppler", SPECTRAL, "M-mode")),
    "prostate": Organ(cavities.draw_prostate, (-0.35, 0.35), (0.36, 0.56), (*FLOW, STRAIN, SWEEP, "endoscopic")),
    "ovary": Organ(cavities.draw_ovary, (-0.35, 0.35), (0.38, 0.58), (*FLOW, SPECTRAL, SWEEP)),
    "cervix": Organ(cavities.draw_cervix, (-0.35, 0.35), (0.40, 0.62), (SWEEP, "colour Doppler")),
}  # fmt: skip


def organ_of(name: str, where: str) -> Organ:
    """The organ of that name; raises UltraFMError naming `where` when the phantom cannot draw it."""
    if name not in ORGANS:
        raise UltraFMError(where, f"organ {name!r}", f"one of {', '.join(ORGANS)}{nearest(name, ORGANS)}")
    return ORGANS[name]


def sensible_modalities(organ: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the offered modalities that suit the organ; all of them when none does."""
    suiting = tuple(name for name in offered if name in ALWAYS or name in ORGANS[organ].modalities)
    return suiting or offered


def draw_body(organ: str, grid: Grid, generator: np.random.Generator, label: str = "normal") -> Tissue:
    """The tissue of one body around one organ, without a lesion.

    The same generator state on another grid is another view of the body, and with another label the same body with
    another disease.
    """
    tissue = blank_tissue(grid)
    ORGANS[organ].diseased.get(label, ORGANS[organ].draw)(tissue, grid, generator)
    tissue.echo_db += 2.0 * texture(grid, generator, 0.3, 0.22)
    tissue.echo_db += 2.0 * texture(grid, generator, 0.9, 0.7)  # fat, pressure and contact differ from place to place
    tissue.mirror *= np.clip(0.8 + 0.45 * texture(grid, generator, 0.1, 0.1), 0.05, 1.8)  # interfaces fade in places
    return tissue

"""Sites for the phantom's tests, small and quick."""

from __future__ import annotations

from ultrafm.manifests.schema import Device, PhantomSource, Planted, SiteManifest, Sources, Split

DEVICES = {
    "linear": {"frequency_mhz": 10, "depth_mm": 40, "focus_mm": 20, "width_mm": 40},
    "convex": {"frequency_mhz": 3.5, "depth_mm": 150, "focus_mm": 80, "radius_mm": 55, "half_angle_degrees": 32},
    "phased sector": {"frequency_mhz": 2.5, "depth_mm": 160, "focus_mm": 90, "radius_mm": 4, "half_angle_degrees": 42},
    "endocavity": {"frequency_mhz": 6.5, "depth_mm": 60, "focus_mm": 30, "radius_mm": 10, "half_angle_degrees": 65},
}
BOTH = {"benign": 0.5, "malignant": 0.5}


def make_device(scan_mode: str = "linear", **changes: object) -> Device:
    return Device(name="simulated", scan_mode=scan_mode, **{**DEVICES[scan_mode], **changes})


def make_source(
    findings: dict[str, float],
    device: Device | None = None,
    patients: int = 6,
    images: int = 2,
    planted: Planted | None = None,
) -> PhantomSource:
    return PhantomSource(
        kind="phantom",
        country="Norway",
        licence="CC0-1.0",
        citation="none",
        institution="Test Street Clinic (fictional)",
        patients=patients,
        images_per_patient=images,
        device=device or make_device(),
        findings=findings,
        planted=planted or Planted(),
    )


def make_manifest(
    source: PhantomSource, organs: tuple[str, ...] = ("breast",), modalities: tuple[str, ...] = ("B-mode",)
) -> SiteManifest:
    return SiteManifest(
        schema_version=1,
        site="site_01_test",
        title="test",
        organs=organs,
        modalities=modalities,
        scan_modes=(source.device.scan_mode,),
        probe="test",
        split=Split(rule="patients"),
        sources=Sources(phantom=source),
    )

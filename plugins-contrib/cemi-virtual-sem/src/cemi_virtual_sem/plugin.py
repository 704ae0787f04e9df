"""What this package adds to CEMI."""

from __future__ import annotations

from collections.abc import Iterator

from cemi_core.plugins import CommandPlugin, SpecimenPlugin, hookimpl


@hookimpl
def cemi_specimens() -> Iterator[SpecimenPlugin]:
    """Yield the specimens of the paper and of its kind."""
    yield SpecimenPlugin(
        "ehea",
        "An AlCoCrFeNi2.1-like alloy: lamellar colonies, irregular eutectic, primary BCC.",
        settings="cemi_virtual_sem.ehea:EheaSettings",
        factory="cemi_virtual_sem.ehea:make_ehea",
    )
    yield SpecimenPlugin(
        "pbse-srse",
        "A PbSe-SrSe-like gradient: a dark phase whose share grows along x.",
        settings="cemi_virtual_sem.pbse_srse:PbseSrseSettings",
        factory="cemi_virtual_sem.pbse_srse:make_pbse_srse",
    )
    yield SpecimenPlugin(
        "polycrystal",
        "A polycrystal with bend contours and dark boundaries, as in bright field.",
        settings="cemi_virtual_sem.polycrystal:PolycrystalSettings",
        factory="cemi_virtual_sem.polycrystal:make_polycrystal",
    )


PLUGIN_API = 2


@hookimpl
def cemi_commands() -> Iterator[CommandPlugin]:
    """Yield the command ``cemi virtual-sem``."""
    yield CommandPlugin(
        "virtual-sem",
        "Record a virtual specimen with a virtual microscope, with full truth.",
        command="cemi_virtual_sem.command:virtual_sem",
    )

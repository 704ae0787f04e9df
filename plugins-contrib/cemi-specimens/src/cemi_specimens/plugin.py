"""What this package adds to CEMI."""

from __future__ import annotations

from collections.abc import Iterator

from cemi_core.plugins import CommandPlugin, SpecimenPlugin, hookimpl

PLUGIN_API = 2

# name, module (its factory is make_MODULE), settings, summary
_SPECIMENS = (
    ("gaussian-field", "gaussian_field", "GaussianFieldSettings", "Two phases cut from a Gaussian random field."),
    ("voronoi", "voronoi", "VoronoiSettings", "A polycrystal of Voronoi cells."),
    ("laguerre", "laguerre", "LaguerreSettings", "A polycrystal with a log-normal spread of grain sizes."),
    ("potts", "potts", "PottsSettings", "A polycrystal after grain growth by the Potts model."),
    ("cahn-hilliard", "cahn_hilliard", "CahnHilliardSettings", "Two phases after spinodal decomposition."),
    ("particles", "particles", "ParticleSettings", "Particles of many sizes, apart, touching or overlapping."),
    ("wires", "wires", "WireSettings", "Nanowires or fibres with a preferred direction."),
    ("dendrites", "dendrites", "DendriteSettings", "Dendrites in a eutectic matrix, by a phase-field model."),
    ("eutectic", "eutectic", "EutecticSettings", "Eutectic colonies of lamellae with faults, or of rods."),
    ("graphene", "graphene", "GrapheneSettings", "Atoms of a graphene sheet with ripples and defects."),
    ("wsete", "wsete", "WseteSettings", "Columns of a WSe2 monolayer with tellurium."),
    ("hea-columns", "hea_columns", "HeaColumnSettings", "Columns of a high-entropy alloy (CoCrFeMnNi)."),
    ("gold-particles", "gold_particles", "GoldParticleSettings", "Columns of gold nanoparticles of Wulff's shape."),
    ("diffraction", "diffraction", "DiffractionSettings", "Spots of a cubic crystal along a zone axis."),
    ("files", "files", "FileSettings", "An image with its truth from a folder."),
)


@hookimpl
def cemi_specimens() -> Iterator[SpecimenPlugin]:
    """Yield the specimens."""
    for name, module, settings, summary in _SPECIMENS:
        yield SpecimenPlugin(
            name,
            summary,
            settings=f"cemi_specimens.{module}:{settings}",
            factory=f"cemi_specimens.{module}:make_{module}",
        )


@hookimpl
def cemi_commands() -> Iterator[CommandPlugin]:
    """Yield the command ``cemi specimen``."""
    yield CommandPlugin(
        "specimen",
        "Write an image of a made specimen with its exact truth.",
        command="cemi_specimens.command:specimen",
    )

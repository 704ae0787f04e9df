"""Declared abilities, where they are used: a plugin that declares one and lacks it is told so."""

from __future__ import annotations

from typing import Any, TypeVar

from cemi_core.errors import PluginError
from cemi_core.model.stages import Prepares
from cemi_core.plugins.manager import Registered, missing_packages_named
from cemi_core.plugins.types import methods_of, owner_of

Contract = TypeVar("Contract")


def with_ability(made: object, contract: type[Contract], plugin: Registered[Any], ability: str) -> Contract:
    """Return an object that a plugin made, as one that has an ability which its description declares.

    Parameters
    ----------
    made : object
    contract : type
        The protocol of the ability.
    plugin : Registered
    ability : str
        Its name on the description, for the message.

    Raises
    ------
    PluginError
        It has no such method.
    """
    if isinstance(made, contract):
        return made
    raise PluginError(
        f"'{plugin.name}' of {plugin.package} {plugin.version} declares the ability '{ability}', and {owner_of(made)} "
        f"has no {methods_of(contract)}"
    )


def prepared(made: Any, plugin: Registered[Any], prepares: bool) -> None:
    """Let an object try what it needs before the work, if its description says that it can.

    Raises
    ------
    CemiError
        Something cannot be used.
    """
    if prepares:
        trying = with_ability(made, Prepares, plugin, "prepares")
        with missing_packages_named(plugin):
            trying.prepare()

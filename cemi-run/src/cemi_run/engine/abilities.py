"""Declared abilities, where they are used: a plugin that declares one and lacks it is told so."""

from __future__ import annotations

from typing import Any, TypeVar

from cemi_core.errors import PluginError
from cemi_core.model.stages import CONTRACTS, Prepares
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


def require_declared(made: object, plugin: Registered[Any], abilities: object) -> None:
    """Require of an object all that its description declares.

    Raises
    ------
    PluginError
        It lacks a method.
    """
    for ability, contract in CONTRACTS[type(abilities)].items():
        if vars(abilities)[ability]:
            with_ability(made, contract, plugin, ability)


def prepared(made: object, plugin: Registered[Any], abilities: object) -> None:
    """Require of an object what its description declares, and let it try what it needs before the work if it can.

    Raises
    ------
    PluginError
        It lacks a method.
    CemiError
        Something cannot be used.
    """
    require_declared(made, plugin, abilities)
    if vars(abilities).get("prepares", False):
        with missing_packages_named(plugin):
            with_ability(made, Prepares, plugin, "prepares").prepare()

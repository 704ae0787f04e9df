"""Errors whose message is written for the user: what is wrong, where, and what would be right, in one sentence."""

from __future__ import annotations


class CemiError(Exception):
    """The work failed for a reason that the user can mend (exit code 1)."""

    exit_code = 1


class InputError(CemiError):
    """A file or an array that was handed in cannot be used: missing, empty, truncated, of the wrong kind."""


class UsageError(CemiError):
    """The call itself is wrong: an unknown option, plugin, key or unit (exit code 2)."""

    exit_code = 2


class RunInUseError(CemiError):
    """Another process writes to this run folder."""


class StorageError(CemiError):
    """Something could not be written: the disk is full, the folder is read-only or missing."""


class MissingDependencyError(CemiError):
    """A plugin needs a package that is not installed."""


class WorkerError(CemiError):
    """A worker process died, or work cannot be sent to one."""


class PluginError(CemiError):
    """A plugin returned something that its stage does not allow."""

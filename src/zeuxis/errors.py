"""The errors a user can meet: one line each (what was found, what was expected, what to do) and an exit code."""


class ZeuxisError(Exception):
    """An error whose message is written for the user; the command line prints it on one line and exits with `exit_code`."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the message alone, as on the command line."""
        return [f"{type(self).__name__}: {self}"]


class StopTraining(ZeuxisError):  # noqa: N818 (nothing went wrong)
    """Raised by a callback to end its run: a checkpoint is saved, and the message is the reason in the log."""


class UsageError(ZeuxisError):
    """A flag, an argument or a file the user named is wrong."""

    exit_code = 2


class DivergedError(ZeuxisError):
    """Training produced a number that is not finite."""

    exit_code = 3


class DataError(ZeuxisError):
    """The data has nothing that can be used."""

    exit_code = 4


class DiskFullError(ZeuxisError):
    """A file could not be written because its volume is full or refuses writes."""

    exit_code = 5

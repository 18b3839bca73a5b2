"""The errors a user can do something about.

`str(error)` of a `LabError` may be shown as it stands: it says what came, what is accepted and what to do next.
Anything else that is raised is a fault of ours, and its text goes to the log only.
"""


class LabError(Exception):
    """Something the user can put right. Raise one of its four kinds."""


class InputRejected(LabError):
    """What was given cannot be used: a broken picture, a kernel with holes, a number out of range."""


class Unsupported(LabError):
    """What was asked for does not exist here: no such format, device, backend or optional package."""


class ResourceExhausted(LabError):
    """There is not enough of something: memory, disk, places in a queue, time."""


class RunFailed(LabError):
    """Work that had begun did not come to its end: a training run, a download, an export."""

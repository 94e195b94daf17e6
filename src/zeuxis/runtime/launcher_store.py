"""What `torchrun` keeps for the processes it starts, over their restarts: where a run was begun."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from typing import TYPE_CHECKING

from zeuxis.runtime import launch

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]  # torch may be built without it

# A heartbeat finds a process that is lost within seconds; others may wait for long, as while the first one evaluates.
LONGEST_WAIT = datetime.timedelta(hours=24)


def kept_store(prefix: str) -> Store:
    """A store that the launcher keeps, over its restarts too."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return PrefixStore(f"zeuxis/{prefix}", TCPStore(host, port, is_master=False, timeout=LONGEST_WAIT))


def remember(asked: str, path: str) -> None:
    """Keep with the launcher where the run that was `asked` for is, for a restart."""
    if kept_by_launcher():
        with contextlib.suppress(RuntimeError):
            kept_store("runs").set(store_key(asked), path)


def begun(asked: str) -> str:
    """Where the run that was `asked` for was begun before a restart of the processes; empty without one."""
    if not launch.restarts() or not kept_by_launcher():
        return ""
    store = kept_store("runs")
    return str(store.get(store_key(asked)).decode()) if store.check([store_key(asked)]) else ""


def kept_by_launcher() -> bool:
    """Whether there is a store that outlives this process."""
    return launch.launched() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def store_key(text: str) -> str:
    """A key of the store for any text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()

"""`zeuxis explore`: the page in the browser on which a model's latent space is explored."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from typing import Annotated, Literal

from cyclopts import App, Parameter

from zeuxis.cli import flags, sampling
from zeuxis.cli.flags import verb
from zeuxis.cli.output import say
from zeuxis.errors import UsageError

Port = Annotated[int | None, flags.flag("port (default: the first free one from 8765 on)", low=0, high=65535)]
Models = Annotated[str, Parameter(help="runs or models: folders, or numbers or names of runs under runs/")]


def register(app: App) -> None:
    """Add the command."""
    app.command(explore_command, name=verb(explore_command))


def explore_command(
    *models: Models,
    port: Port = None,
    host: Annotated[
        str, Parameter(help="address to listen on; beyond this machine the link holds a key")
    ] = "127.0.0.1",
    no_browser: Annotated[bool, Parameter(help="print the link, and open no browser", negative=())] = False,
    engine: Annotated[
        Literal["auto", "torch"],
        Parameter(help="what draws; auto: onnxruntime on a CPU where it is installed, else torch"),
    ] = "auto",
    device: sampling.Place = "auto",
    family: sampling.Code = None,
) -> None:
    """Explore models in the browser: latent space, arithmetic, interpolation, photographs, training.

    Only this machine can open the page, unless --host says otherwise. Ctrl-C ends the server.
    """
    if not models:
        raise UsageError("name a run or a model, as in: zeuxis explore runs/00001-faces")
    from zeuxis.web.beside import open_model_or_run
    from zeuxis.web.server import listen, serve_page

    with listen(host, port) as listening:
        served = [open_model_or_run(model, device=device, family=family) for model in models]

        def told(link: str) -> None:
            say(f"exploring {', '.join(each.name for each in served)} at {link}", "Ctrl-C ends the server")
            sys.stdout.flush()
            if not no_browser:
                open_browser(link)

        serve_page(served, listening, host, told, engine=engine)


def open_browser(link: str) -> None:
    """Open the link in a browser, where there is a screen for one."""
    if _has_display():
        # Beside what goes on here, as a browser may keep whoever starts it waiting.
        threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()


def _has_display() -> bool:
    """Whether a browser has a screen to open on."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

"""The commands with their options; what each does lies in a module of its own, loaded when it is called."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from graphflow import __version__
from graphflow.errors import GraphflowError, InvalidWorkflow

FAILED = 1
INVALID = 2
INTERRUPTED = 130

app = typer.Typer(
    name="graphflow",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Node-graph workflows for diffusion models: served over HTTP and in the browser, or run from a file.",
    epilog="Exit codes: 0 done, 1 the job or the server failed, 2 wrong use or an invalid workflow, 130 interrupted. "
    "Every setting can also come from GRAPHFLOW_... in the environment or from graphflow.toml in the data folder.",
)

File = Annotated[
    str, typer.Argument(metavar="FILE", help="Workflow as JSON, or a picture that carries one; - reads standard input.")
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder for everything that is kept.", metavar="DIR")]
Models = Annotated[
    list[Path] | None, typer.Option("--models", help="Folder with models; may be given again.", metavar="DIR")
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, mps, cuda, cuda:1; several with commas.")]
Dtype = Annotated[str | None, typer.Option("--dtype", help="auto, float32, float16 or bfloat16.")]
VramLimit = Annotated[
    str | None,
    typer.Option(
        "--vram-limit",
        help="Device memory for weights, such as 8GiB; on a CPU, too, as if the device were so small.",
        metavar="SIZE",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file instead of graphflow.toml.", metavar="FILE")
]
ComfyNodes = Annotated[
    list[Path] | None,
    typer.Option(
        "--comfy-nodes",
        help="Folder of ComfyUI node packs; their code runs with your rights, so name only what you trust.",
        metavar="DIR",
    ),
]
ExtraPaths = Annotated[
    list[Path] | None,
    typer.Option("--extra-model-paths", help="ComfyUI's extra_model_paths.yaml; may be given again.", metavar="FILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NODE.INPUT=VALUE", help="Set an input first; may be given again."),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, of this process's arguments unless given others; returns the exit code."""
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="graphflow", standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except TyperException as error:
        typer.echo(f"graphflow: {error.format_message()} Try 'graphflow --help'.", err=True)
        return INVALID
    except InvalidWorkflow as error:
        return _told(error, INVALID)
    except GraphflowError as error:
        return _told(error, INVALID if error.status in (400, 404, 413, 415, 422) else FAILED)
    except BrokenPipeError:
        sys.stdout = None  # whoever read us has seen enough
    return code or 0


def _told(error: GraphflowError, code: int) -> int:
    from graphflow.cli.show import show_problems

    show_problems(error)
    return code


def _config(config: Path | None, **flags: Any) -> Any:
    import os

    from graphflow.config import load

    return load(flags, os.environ, config)


def _from_comfyui(nodes: list[Path] | None, paths: list[Path] | None) -> dict[str, Any]:
    """The settings that ComfyUI's own folders and files amount to."""
    packs = [f"comfyui={folder}" for folder in nodes or ()]
    places: list[str] = []
    for file in paths or ():
        from graphflow.comfy.extra_paths import read_extra_paths

        places += [f"{folder}={path}" for folder, path in read_extra_paths(file)]
    return {"packs": tuple(packs), "places": tuple(places)}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graphflow {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", "--listen", help="Address to listen on; other than this machine's own needs a token."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data: Data = None,
    models: Models = None,
    device: Device = None,
    dtype: Dtype = None,
    vram_limit: VramLimit = None,
    workers: Annotated[str | None, typer.Option(help="Where jobs run: process, local or ray.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="The Ray cluster, with --workers ray.")] = None,
    token: Annotated[str | None, typer.Option(help="Secret that every request must show.")] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Another site whose pages may use the server; may be given again.", metavar="ORIGIN"),
    ] = None,
    front_end: Annotated[
        str | None, typer.Option(help="The editor at /: graphflow, or comfyui if its package is installed.")
    ] = None,
    multi_user: Annotated[
        bool | None,
        typer.Option("--multi-user", help="Let ComfyUI's editor keep settings and workflows for several users."),
    ] = None,
    comfy_nodes: ComfyNodes = None,
    extra_model_paths: ExtraPaths = None,
    config: ConfigFile = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every request.")] = False,
) -> int:
    """Serve the editor and the API until stopped."""
    from graphflow.cli.serve import serve as run_server

    settings = _config(
        config, host=host, port=port, data=data, models=models, device=device, dtype=dtype,
        vram_limit=vram_limit, workers=workers, ray_address=ray_address, token=token, front_end=front_end, multi_user=multi_user,
        allowed_origins=tuple(allow_origin or ()),
        **_from_comfyui(comfy_nodes, extra_model_paths),
    )  # fmt: skip
    return run_server(settings, verbose=verbose)


@app.command()
def run(
    file: File,
    set: Sets = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")] = Path(
        "output"
    ),
    target: Annotated[list[str] | None, typer.Option(help="Run only what this node needs; may be given again.")] = None,
    json: Json = False,
    data: Data = None,
    models: Models = None,
    device: Device = None,
    dtype: Dtype = None,
    vram_limit: VramLimit = None,
    comfy_nodes: ComfyNodes = None,
    extra_model_paths: ExtraPaths = None,
    config: ConfigFile = None,
) -> int:
    """Run a workflow in this process and write its results, without a server."""
    from graphflow.cli.run import run_file

    comfyui = _from_comfyui(comfy_nodes, extra_model_paths)
    settings = _config(config, data=data, models=models, device=device, dtype=dtype, vram_limit=vram_limit, **comfyui)
    return asyncio.run(run_file(settings, file, set or [], output, targets=target, as_json=json))


@app.command()
def validate(
    file: File,
    set: Sets = None,
    json: Json = False,
    data: Data = None,
    models: Models = None,
    config: ConfigFile = None,
) -> int:
    """Check a workflow and tell everything that is wrong with it."""
    from graphflow.cli.look import validate_file

    return validate_file(_config(config, data=data, models=models), file, set or [], as_json=json)


@app.command()
def plan(
    file: File,
    set: Sets = None,
    json: Json = False,
    data: Data = None,
    models: Models = None,
    device: Device = None,
    dtype: Dtype = None,
    config: ConfigFile = None,
) -> None:
    """Show what would run, in which order, and what is cached."""
    from graphflow.cli.look import plan_file

    settings = _config(config, data=data, models=models, device=device, dtype=dtype)
    asyncio.run(plan_file(settings, file, set or [], as_json=json))


@app.command()
def nodes(
    type: Annotated[str | None, typer.Argument(help="Show this node type in full.")] = None,
    json: Json = False,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """List the node types, or show one with its inputs and outputs."""
    from graphflow.cli.look import show_nodes

    show_nodes(_config(config, data=data), type, as_json=json)


@app.command("models")
def list_models(
    hash: Annotated[
        bool, typer.Option("--hash", help="Compute hashes that are not known yet; reads whole files.")
    ] = False,
    json: Json = False,
    data: Data = None,
    models: Models = None,
    extra_model_paths: ExtraPaths = None,
    config: ConfigFile = None,
) -> None:
    """List the models on disk: size, SHA-256 (if it is known), kind, dtype, family, parts, and what is missing."""
    from graphflow.cli.look import show_models

    settings = _config(config, data=data, models=models, **_from_comfyui(None, extra_model_paths))
    show_models(settings, hashed=hash, as_json=json)


@app.command("import")
def import_file(
    file: File,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output unless given.")
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Turn another program's workflow, or a picture that carries one, into GraphFlow's format."""
    from graphflow.cli.look import import_document

    import_document(_config(config, data=data), file, output)


@app.command("export")
def export_file(
    file: File,
    to: Annotated[str, typer.Option(help="Format to write, for example comfyui.")] = "comfyui",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output unless given.")
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Write a workflow in another program's format."""
    from graphflow.cli.look import export_document

    export_document(_config(config, data=data), file, to, output)

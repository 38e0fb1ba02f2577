"""The command line, `skdeploy` or `python -m skdeploy`.

skdeploy serve model.bin                       the model over HTTP
skdeploy doctor s3://bucket/model.bin          is everything there that a service needs to start?
skdeploy export model.bin model.skdeploy       the model as a file that runs no code
skdeploy key backend --file api-keys           a new API key, and its line in SKDEPLOY_API_KEYS_FILE

What a command needs is imported when it runs.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from skdeploy import __version__, api_keys, config, ports
from skdeploy.config import ModelSettings, Setting, WebSettings, declared
from skdeploy.errors import EXIT_CODES, ModelUnavailable, SettingsError, SkdeployError

if TYPE_CHECKING:
    from skdeploy.doctor import Finding
    from skdeploy.source import Source

# Where SageMaker puts a model.
MODEL_FOLDER = Path("/opt/ml/model")
_MODEL_SUFFIXES = (".bin", ".joblib", ".pkl", ".skdeploy", ".skops")


class _Failure(click.ClickException):
    """Ends the command with a message on standard error and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click's own subclasses set the class's


def _of_file(error: OSError) -> str:
    """What is wrong with a file or folder that the command was given, and what to do."""
    if error.filename is None:
        return str(error)
    path = Path(error.filename)
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"There is no folder {path.parent.absolute()}: make it, or correct the path."
    return f"{path} cannot be used: {error.strerror}. Correct the path, or its permissions."


class _Group(click.Group):
    """Errors become messages and exit codes, here for all commands."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SkdeployError as error:
            raise _Failure(str(error), error.exit_code) from error
        except OSError as error:
            raise _Failure(_of_file(error), 4) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == "skdeploy":
                raise
            raise _Failure(f"{package} is not installed: run pip install 'skdeploy[serve]'", 1) from error

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="skdeploy")
def cli() -> None:
    """One fitted scikit-learn pipeline, one prediction, every way to reach it."""


class _Flag(click.Option):
    """A setting's flag, checked as its variable is."""

    def __init__(self, setting: Setting, flag: str) -> None:
        self.setting = setting
        notes = [setting.own_variable, f"default: {setting.default}" if setting.default else ""]
        meaning, switch = setting.meaning, setting.parse is config.flag
        if switch:
            off = f"--no-{flag.removeprefix('--')}"
            meaning = meaning.removeprefix("1: ").replace("0: ", f"{off}: ", 1)
            notes, flag = [], f"{flag}/{off}"
        note = "; ".join(filter(None, notes))
        super().__init__(
            [setting.variable, flag],
            default=None,
            metavar=None if switch else "VALUE",
            callback=self._check,
            help=f"{meaning}  [{note}]" if note else meaning,
        )

    def _check(self, _context: click.Context, _parameter: click.Parameter, value: Any) -> str | None:
        if value is None:
            return None
        text = str(int(value)) if isinstance(value, bool) else str(value)
        try:
            self.setting.parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{text!r} is not {error}.") from None
        return text


class _Command(click.Command):
    """A command whose help has a section for each of the settings' sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            section = parameter.setting.section if isinstance(parameter, _Flag) else "Other"
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


_FLAGS: list[click.Parameter] = [
    _Flag(setting, setting.flag)
    for setting in declared(WebSettings)
    if setting.flag and setting.name != "model_uri"
]


@cli.command(cls=_Command, params=_FLAGS)
@click.argument("model", required=False)
def serve(model: str | None, **flags: str | None) -> None:
    """Serve MODEL over HTTP.

    MODEL is a file, s3://bucket/key, models:/name@alias, models:/name/version or runs:/id/model; without it,
    the model of SKDEPLOY_MODEL_URI, or else the one in /opt/ml/model. Each flag is also a variable of the
    environment, which the flag beats: --max-body is SKDEPLOY_MAX_BODY. Secrets are variables only. On SIGTERM
    the service answers what is under way, and ends.
    """
    os.environ.update({name: value for name, value in flags.items() if value is not None})
    if model is not None:
        os.environ["SKDEPLOY_MODEL_URI"] = model
    elif not os.environ.get("SKDEPLOY_MODEL_URI") and MODEL_FOLDER.is_dir():
        os.environ["SKDEPLOY_MODEL_URI"] = model_in(MODEL_FOLDER)
    settings = WebSettings.from_env(os.environ)
    reserved = {}
    # GUNICORN_CMD_ARGS may name other addresses, which the server reads.
    if not (ports.are_inherited(os.environ) or os.environ.get("GUNICORN_CMD_ARGS")):
        address = (settings.bind_address.lower(), settings.port)
        reserved[address] = ports.reserve(address)
    from skdeploy.server import Server

    Server(reserved).run()


def model_in(folder: Path) -> str:
    """The only model in a folder. Raises SettingsError if it holds none, or several."""
    found = sorted(str(path) for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES)
    if len(found) != 1:
        raise SettingsError(
            f"{folder} holds {'several models' if found else 'no model'}: say which, as in skdeploy serve "
            f"{found[0] if found else 'model.bin'}. A model's file ends in {', '.join(_MODEL_SUFFIXES)}."
        )
    return found[0]


@cli.command()
@click.argument("uri", required=False)
def doctor(uri: str | None) -> None:
    """Say what is missing between here and a model.

    URI is where the model comes from, by default SKDEPLOY_MODEL_URI. The doctor goes the way of a
    service that starts, and names the first part that is wrong, with a remedy.
    """
    from skdeploy.doctor import Finding, examine

    try:
        source, engine = _source(uri)
    except SettingsError as error:
        _say(Finding("settings", well=False, what=str(error)))
        raise SystemExit(error.exit_code) from error
    all_well = True
    for finding in examine(source, engine):
        _say(finding)
        all_well &= finding.well
    if not all_well:
        raise SystemExit(ModelUnavailable.exit_code)


def _say(finding: Finding) -> None:
    said = f": {finding.what}" if finding.what else ""
    click.echo(f"{'ok   ' if finding.well else 'WRONG'} {finding.part}{said}")
    if finding.remedy:
        click.echo(f"      remedy: {finding.remedy}")


@cli.command()
@click.argument("uri")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--golden",
    type=click.Choice(["synthetic", "real"]),
    default="synthetic",
    show_default=True,
    help="Golden records, which prove the model wherever it is loaded: made up from the schema, or those of "
    "the pickle, which may be rows of the training data.",
)
def export(uri: str, file: Path, golden: Literal["synthetic", "real"]) -> None:
    """Compile a model to one file that runs no code.

    The model at URI is written to FILE, such as model.skdeploy, which every command takes as a model. It is
    loaded without scikit-learn, and nothing in it is unpickled.
    """
    from skdeploy.model.exported import SUFFIX
    from skdeploy.model.exporting import export as export_model
    from skdeploy.source import fetch
    from skdeploy.writing import write

    if file.suffix != SUFFIX:
        raise SettingsError(
            f"{file} does not end in {SUFFIX}, by which an exported model is known: model{SUFFIX}, say."
        )
    source, _ = _source(uri)
    fetched = fetch(source)
    content, model = export_model(
        fetched.content, digest=fetched.digest, where=fetched.where, golden=golden, trusted=source.trusted
    )
    write(file, content)
    proved = len(model.passport.golden.predictions)
    click.echo(f"{file}: {model!r}; {proved} golden records predict what they should")
    click.echo(f"SHA-256 {model.exported}, exported from {model.digest}")


def _source(uri: str | None) -> tuple[Source, str]:
    """The place that the argument or else the settings name, and the engine."""
    from skdeploy.source import Source

    settings = ModelSettings.from_env(os.environ)
    if uri:
        settings = dataclasses.replace(settings, model_uri=uri)
    return Source.from_settings(settings), settings.engine


@cli.command()
@click.argument("name")
@click.option(
    "--file", type=click.Path(path_type=Path), help="Add the line to this file, not to standard error."
)
def key(name: str, file: Path | None) -> None:
    """Print a new API key.

    It is shown this once; its line for SKDEPLOY_API_KEYS_FILE goes to --file, or to standard error. NAME
    says in the request log whose key it is.
    """
    new = api_keys.new_key()
    line = api_keys.line_for(name, new)
    if file is None:
        click.echo(line, nl=False, err=True)
    else:
        api_keys.append(file, line)
    click.echo(new)

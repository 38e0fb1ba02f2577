"""The package's command line.

python -m skdeploy doctor s3://bucket/model.bin       is everything there that a service needs to start?
python -m skdeploy export s3://bucket/model.bin out   the model for where scikit-learn is too large
python -m skdeploy key backend --file api-keys        a new API key, and its line in API_KEYS_FILE
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from skdeploy import __version__, api_keys
from skdeploy.doctor import Finding, examine
from skdeploy.errors import SettingsError, SkdeployError
from skdeploy.model.exporting import export
from skdeploy.settings import Settings
from skdeploy.source import Source, fetch


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command; its exit code: 0 all is well, 1 something is wrong, 2 it was called wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m skdeploy", description="Tools for who operates a service."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor", help="say what is missing or wrong between here and a model, before a service is started"
    )
    doctor.add_argument("uri", nargs="?", metavar="URI", help="where the model comes from (MODEL_URI)")
    doctor.set_defaults(command=_doctor)
    exporter = commands.add_parser(
        "export", help="write the compiled model and its passport, which are loaded without scikit-learn"
    )
    exporter.add_argument("uri", metavar="URI", help="where the model comes from (MODEL_URI)")
    exporter.add_argument(
        "folder", metavar="FOLDER", type=Path, help="the folder for model.onnx and passport.json"
    )
    exporter.set_defaults(command=_export)
    _add_key(commands)
    options = parser.parse_args(argv)
    code: int = options.command(options, environ)
    return code


def _add_key(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    key = commands.add_parser(
        "key",
        help="print a new API key, which is shown this once; its line for API_KEYS_FILE goes to --file, "
        "or to standard error",
    )
    key.add_argument("name", metavar="NAME", help="who will use it, as the request log names them")
    key.add_argument("--file", type=Path, metavar="FILE", help="the file to add its line to")
    key.set_defaults(command=_key)


def _key(options: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    key = api_keys.new_key()
    try:
        line = api_keys.line_for(options.name, key)
        if options.file:
            api_keys.append(options.file, line)
    except (SkdeployError, OSError) as error:
        print(f"No key was made: {error}", file=sys.stderr)
        return 1
    if not options.file:
        print(line, end="", file=sys.stderr)
    print(key)
    return 0


def _doctor(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    try:
        source, engine = _source(options, environ)
    except SettingsError as error:
        _say(Finding("settings", well=False, what=str(error)))
        return 1
    all_well = True
    for finding in examine(source, engine):
        _say(finding)
        all_well &= finding.well
    return 0 if all_well else 1


def _export(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    try:
        source, _ = _source(options, environ)
        fetched = fetch(source)
        model = export(
            fetched.content,
            options.folder,
            digest=fetched.digest,
            where=fetched.where,
            version=__version__,
            trusted=source.trusted,
        )
    except (SkdeployError, OSError) as error:
        print(f"Not exported: {error}", file=sys.stderr)
        return 1
    golden = len(model.passport.golden.predictions)
    print(f"{options.folder}: {model!r}; {golden} golden records predict what they should")
    return 0


def _source(options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Source, str]:
    """The place that the options or else the settings name, and the engine."""
    settings = Settings.from_env(environ)
    if options.uri:
        settings = dataclasses.replace(settings, model_uri=options.uri)
    return Source.from_settings(settings), settings.engine


def _say(finding: Finding) -> None:
    said = f": {finding.what}" if finding.what else ""
    print(f"{'ok   ' if finding.well else 'WRONG'} {finding.part}{said}")
    if finding.remedy:
        print(f"      remedy: {finding.remedy}")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    raise SystemExit(main(sys.argv[1:], os.environ))

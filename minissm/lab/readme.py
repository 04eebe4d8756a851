"""README.txt in the folder of a comparison: the command, the table, and what each file is."""

import shlex
from pathlib import Path
from typing import Any

from ..files import write_whole
from .config import Config
from .job import versions
from .studies import quoted

TEXT = """\
A comparison of models, made by minissm. This command makes it again, but for the seconds:

{command}

{table}

run.json        the settings, and the versions at the start
results.jsonl   a line for each run: its settings, its scores on fresh sequences, its time
curves.jsonl    a line for each evaluation during the trainings
figure.png      the main figure, also as figure.svg; figure-NAME.png has another setting on its axis
rates.png       scores over the learning rates, where several were given
weights/        the trained models: net, params = minissm.load(FILE); minissm watch FILE, if the task has tokens
runs/           a file for each finished run
unfinished/     checkpoints of the other runs, while there are any

Versions: {versions}
"""
FURTHER = ("until", "mode", "backend", "dtype", "plugin")  # options that the command has if they are not the default


def write(folder: Path, config: Config, table: str = "") -> None:
    """Write the file, at the start of a comparison without a table, and again at its end."""
    again = f"not finished; go on with: minissm run {shlex.join([config.task, '--resume', str(folder)])}"
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = TEXT.format(command=command_of(config), table=table or again, versions=made)
    write_whole(folder / "README.txt", lambda file: file.write(text.encode()))


def command_of(config: Config) -> str:
    """The command with these settings, for a shell. It makes the same rows, but for their seconds."""
    given: dict[str, Any] = {"models": "; ".join(config.models), "seeds": config.seeds, "steps": config.steps}
    given |= {"budget": config.budget} if config.width is None else {"width": config.width}
    given |= {"lr": ",".join(map(str, config.lrs)), "test": "; ".join(config.tests)}
    given |= {name: value for name in FURTHER if (value := getattr(config, name)) != getattr(Config, name)}
    varied = config.vary.keys() | ({"width", "budget"} if {"width", "budget"} & config.vary.keys() else set())
    words = [word for n, value in given.items() if value != "" and n not in varied for word in (f"--{n}", str(value))]
    sweeps = [f"{name}={','.join(map(_spelled, values))}" for name, values in config.vary.items()]
    return " ".join(map(quoted, ["minissm", "run", config.task, *words, *(["--vary", *sweeps] if sweeps else [])]))


def _spelled(value: Any) -> str:
    """As --vary has it: a word without quotes."""
    return value if isinstance(value, str) and value.isidentifier() else repr(value)

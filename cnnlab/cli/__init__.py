"""The lab in a terminal: train, list recipes, list runs, convert weights.

Runs are kept where the browser finds them, and published, so that everybody at this lab can watch them there.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnlab.errors import LabError

_EXAMPLES = """\
examples:
  python -m cnnlab recipes
  python -m cnnlab train --recipe digits_fast
  python -m cnnlab train config.yaml --epochs 3 --test
  python -m cnnlab train --resume k3v9x0…
  python -m cnnlab convert weights.pt
"""


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say.

    Args:
        arguments: Without the program's name.

    Returns:
        For the shell: 0 when it is done, 1 when it could not be done, 2 for arguments that make no sense, 130 when
        it was stopped with Ctrl-C.
    """
    try:
        told = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said what is wrong, or shown its help
        return int(end.code or 0)
    if told.command != "convert" and told.data_dir:
        os.environ["CNNLAB_DATA_DIR"] = str(told.data_dir.absolute())
    try:
        # Only here: PyTorch takes seconds, and help should not.
        if told.command == "train":
            from cnnlab.cli.training import train

            return train(told)
        if told.command == "convert":
            from cnnlab.cli.converting import convert

            return convert(told)
        from cnnlab.cli import listing

        listing.recipes() if told.command == "recipes" else listing.runs()
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our list, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where data sets and runs are kept (CNNLAB_DATA_DIR)"
    )
    parser = argparse.ArgumentParser(
        prog="python -m cnnlab",
        description="Train convolutional networks without a browser.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", parents=[where], help="train a net and watch it")
    how = train.add_mutually_exclusive_group(required=True)
    how.add_argument("config", nargs="?", type=Path, help="a configuration in YAML, as the lab exports it")
    how.add_argument("--recipe", metavar="KEY", help="a ready-made configuration; see `recipes`")
    how.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped; its id, or how that begins")
    train.add_argument("--epochs", type=int, help="in place of those of the configuration")
    train.add_argument("--seed", type=int, help="likewise")
    train.add_argument("--name", default="", help="of the run, for the lists")
    train.add_argument("--pictures", type=Path, metavar="ZIP", help="your own pictures, one folder a class")
    train.add_argument("--test", action="store_true", help="try the best net on the test pictures at the end, once")
    train.add_argument(
        "--save-weights", type=Path, metavar="FILE", help="write the best net as .safetensors; includes --test"
    )
    train.add_argument("--half", action="store_true", help="round those weights to 16 bits: half the size")
    commands.add_parser("recipes", parents=[where], help="list what can be trained at once")
    commands.add_parser("runs", parents=[where], help="list the runs that are kept")
    convert = commands.add_parser("convert", help="make .safetensors, which the browser takes, of a .pt file")
    convert.add_argument("file", type=Path, metavar="FILE.pt", help="weights as torch.save writes them")
    convert.add_argument(
        "--out", type=Path, metavar="FILE.safetensors", help="where to write to; else beside the file, by its name"
    )
    return parser

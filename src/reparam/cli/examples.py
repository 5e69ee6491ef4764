"""The examples that commands which use a run work on, and the names of their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.options import option
from reparam.cli.runs import OpenRun
from reparam.cli.tables import show_notes

WIDEST = 16  # examples in a row of a picture, and in the picture where no number is asked for

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import DataRecord, Split
    from reparam.model import Codec, Encoder, Model

Out = Annotated[
    str,
    Parameter(
        alias="-o",
        metavar="PATH",
        help="A .png, .npz or .csv file, or a folder of images; .png|csv: a picture of images, a "
        "table of other data.",
    ),
]
Input = Annotated[
    str | None, Parameter(help="Other examples of the same shape; none: those of --split.")
]
Example = Annotated[
    str, Parameter(help="Number of an example of --split, from 0, or a file with one.")
]
Label = Annotated[
    str | None, Parameter(metavar="COLUMN", help="Column of a table that holds the labels.")
]
ClassName = Annotated[
    str | None, Parameter(name="--label", metavar="CLASS", help="Class, for a conditional model.")
]
Attributes = Annotated[
    list[str] | None,
    option(
        "--attribute",
        metavar="NAME=VALUE",
        help="Condition of a model on attributes; one for each that it has.",
    ),
]
Part = Annotated[
    Literal["train", "valid", "test"],
    Parameter(name="--split", help="Of the run's data, where no other examples are given."),
]
Count = Annotated[int | None, Parameter(name="-n", help="How many; none: all.")]


def encoder(run: OpenRun, own: bool = False) -> Encoder:
    """The model of a run, refused if it has no codes; ``own`` as of ``codec``."""
    from reparam.model import Encoder

    return run.model if isinstance(run.model, Encoder) else codec(run, own)


def codec(run: OpenRun, own: bool = False) -> Codec:
    """A codec of the model of a run, refused if there is none.

    Args:
        run: which.
        own: whether only codes that were learned will do; not noise, which solving makes of x.
    """
    from reparam.model import Decoder, Encoder
    from reparam.models.diffusion_codec import DiffusionCodec

    found, name = run.model.as_codec(), type(run.model).__name__
    if found is None and isinstance(run.model, Encoder):
        raise ValueError(
            f"{run.path}: {name} has codes, but makes no x of them; use mae, an autoencoder or a "
            "VAE"
        )
    if found is None:
        of = " of given examples" if isinstance(run.model, Decoder) else ""
        raise ValueError(f"{run.path}: {name} has no codes{of}; use an autoencoder or a VAE")
    if isinstance(found, DiffusionCodec):
        if own:
            raise ValueError(
                f"{run.path}: {name} learns no codes, only noise stands for x; use an autoencoder "
                "or a VAE"
            )
        show_notes(
            [
                f"{name} learns no codes: they are the noise that its ODE makes of x, by "
                f"{found.passes} passes of the network for each way."
            ]
        )
    return found


def examples_of(
    source: str | list[str] | None,
    run: OpenRun,
    label: str | None,
    n: int | None,
    most: int | None = None,
    part: str = "test",
) -> Split:
    """The first n rows of a split of the run's data, or of other data of the same space.

    These are in one file or folder, or in several image files. Where no number is asked for they
    are all of them, or ``most``, and it says so.
    """
    from reparam.model import positive_count

    if n is not None:
        positive_count("n", n)
    if source is None:
        split = run.data().splits[part]
    else:
        refuse_beside_examples(run, part)
        split = _given(source, run, label)
    if n is None and most is not None and len(split) > most:
        show_notes([f"The first {most} of {len(split)}; -n says how many."])
        n = most
    return split if n is None or n >= len(split) else split.take(slice(0, n))


def refuse_beside_examples(run: OpenRun, part: str) -> None:
    """ValueError where it is said which of the run's own data are meant, and others are given."""
    if run.moved is not None:
        raise ValueError("data: says where the run's own data are; leave it out beside examples")
    if part != "test":
        raise ValueError("split: is one of the run's own data; leave it out beside examples")


def one_example(which: str, run: OpenRun, part: str = "test") -> Split:
    """The row of a split with that number, or the one example in a file."""
    if not which.isdigit():
        found = _given(which, run, None)
        if len(found) > 1:
            raise ValueError(f"{which}: expected one example, got {len(found)}")
        return found
    index, split = int(which), run.data().splits[part]
    if index >= len(split):
        raise ValueError(f"{which}: expected the number of a {part} example, 0 to {len(split) - 1}")
    return split.take(slice(index, index + 1))


def _given(source: str | list[str], run: OpenRun, label: str | None) -> Split:
    """Examples in a file or folder, and what was decided in reading them."""
    from reparam.data import load_rows

    by_attributes = run.model.conditional and run.model.space.attributes is not None
    options = {"attributes": run.model.conditional, "missing": run.model.takes_missing}
    split = load_rows(source, run.record, label=label, **options)
    show_notes(split.notes)
    if by_attributes and split.attributes is None:
        names = ", ".join(run.record.attribute_names or ())
        first = source[0] if isinstance(source, list) else source
        raise ValueError(
            f"{first}: the model is conditional on attributes ({names}); give an .npz with the "
            "arrays x and attributes, or leave it out for the test split"
        )
    return split


def class_tensor(name: str | None, n: int, record: DataRecord) -> Tensor | None:
    """n times the class of that name, for conditional models."""
    import torch

    if name is None:
        return None
    names = record.class_names or ()
    if name not in names:
        raise ValueError(f"label: expected one of {', '.join(names) or 'no classes'}, got {name!r}")
    return torch.full((n,), names.index(name))


def condition_of(run: OpenRun, split: Split, label: str | None) -> Tensor | None:
    """The class that was asked for, else the examples' own condition, for models that use one."""
    from reparam.data import condition

    if not run.model.conditional:
        if label is not None:
            raise ValueError(f"label: {run.path} is not conditional; leave it out")
        return None
    if label is not None:
        return asked_condition(run.model, label, None, len(split), run.record)
    if run.model.space.given is not None:
        return condition(run.model, split)
    if split.labels is None and run.model.space.attributes is None:
        raise ValueError("label: the model is conditional; say with --label which class it is")
    return condition(run.model, split)


def asked_condition(
    model: Model, label: str | None, attributes: list[str] | None, n: int, record: DataRecord
) -> Tensor | None:
    """n times the condition that was asked for; None: drawn, or the model takes none."""
    if model.space.given is not None and (label is not None or attributes):
        raise ValueError(
            f"{'attribute' if label is None else 'label'}: the condition of this run is what is "
            "left of x; leave it out"
        )
    by_attributes = model.conditional and model.space.attributes is not None
    if label is not None and not model.conditional and model.class_frequencies is None:
        raise ValueError("label: the model is not conditional; leave it out")
    if label is not None and by_attributes:
        raise ValueError("label: the model is conditional on attributes; give --attribute")
    if not attributes:
        return class_tensor(label, n, record)
    if not by_attributes:
        raise ValueError("attribute: the model is not conditional on attributes; leave it out")
    return attributes_tensor(attributes, n, record.attribute_names or ())


def attributes_tensor(words: list[str], n: int, names: tuple[str, ...]) -> Tensor:
    """n times the values in NAME=VALUE words, of which there is one for each name.

    Of attributes ``hair:gray`` and ``hair:red``, ``hair=red`` is ``hair:gray=0 hair:red=1``.
    """
    import torch

    from reparam.cli.options import parse_number
    from reparam.presets.registry import parse_assignments

    given = _of_words(parse_assignments(words), names)
    if given.keys() != set(names):
        raise ValueError(
            f"attribute: expected one of each of {', '.join(names)}, got {', '.join(given)}"
        )
    values = [parse_number(name, given[name]) for name in names]
    return torch.tensor([values], dtype=torch.float64).expand(n, -1)


def _of_words(given: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The same with a word of a column of text as the attributes that its words are."""
    found = {}
    for name, value in given.items():
        words = [other for other in names if other.startswith(f"{name}:")]
        if name in names or not words:
            found[name] = value
        elif f"{name}:{value}" in words:
            found |= {word: str(int(word == f"{name}:{value}")) for word in words}
        else:
            known = ", ".join(word.removeprefix(f"{name}:") for word in words)
            raise ValueError(f"attribute: expected {name} as one of {known}, got {value!r}")
    return found

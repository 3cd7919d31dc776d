"""What each node learns, in a configuration: the data set, the model, how samples are used, and how it is computed."""

import inspect
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, Strict

from jaxgossip.core.registry import Builder
from jaxgossip.experiment.config.schema import Options, Section, Whole

SUPPLIED = ("test_fraction", "standardize", "batch_size", "init", "init_gain", "dtype", "order")
"""Parameters of data sets and tasks that a run supplies from other keys, so that they are not in the tables of options."""


def supplied(key: str, name: str) -> tuple[str, ...]:
    """Return the parameters that a run itself supplies to the ``dataset`` or ``model`` called ``name``."""
    if key == "model":
        return ()
    # The reader of a file is given its path; any other builder may have a path among its options.
    return (*SUPPLIED, "path") if ":" not in name and Path(name).is_absolute() else SUPPLIED


def supplied_to_sample(builder: Builder, name: str) -> tuple[str, ...]:
    """Return the parameters of the augmentation called ``name`` that training supplies: the key and the sample of your own."""
    return tuple(inspect.signature(builder).parameters)[:2] if ":" in name else ()


Format = Literal["csv", "npz", "svmlight", "idx", "cifar", "leaf", "parquet", "arrow", "text"]
"""The format of a data file, if it cannot be recognised by name and content."""


class AugmentationSection(Section):
    """What changes samples at random in training."""


class Learning(Options):
    """What each node learns; the keys that hold for every data set."""

    dataset: str = Field(
        description="a registered name, the path of a table (CSV and the like, npz, svmlight; .gz too), or your own as "
        "'file.py:function'"
    )
    dataset_options: SerializeAsAny[Options] = Field(default=Options(), description="keywords of the data set")
    init: Literal["same", "independent"] = Field(
        default="same", description="whether all nodes start from one model or each from its own"
    )
    init_gain: Annotated[float, Field(gt=0)] | Literal["centrality"] = Field(
        default=1.0,
        description="by what the drawn parameters of a start that are exchanged are multiplied; 'centrality', for independent "
        "starts: 1/‖v‖₂ with v the nodes' weights in what they agree on, so that they agree on a model as large as a drawn one",
    )
    batch_size: Whole = Field(default=1, ge=0, description="samples of a node in a step; 0 takes all it has")
    start_steps: Whole = Field(
        default=0,
        ge=0,
        description="local steps of every node before the first exchange; round 0 is measured after them",
    )


class Classification(Learning):
    """What each node learns: the data set, the model, and how samples are used."""

    model: str = Field(description="a registered name, or your own as 'file.py:function'")
    model_options: SerializeAsAny[Options] = Field(default=Options(), description="keywords of the model")
    format: Format | None = Field(
        default=None, description="how the file of a path is written, where neither its suffix nor its content tells"
    )
    test_fraction: float | None = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="fraction of all samples kept as the common test set; left out where files have a test set of their own",
    )
    standardize: bool | None = Field(
        default=True, description="bring each feature to mean 0 and deviation 1; left out where samples may be tokens"
    )
    sampling: Literal["replacement", "epochs"] = Field(
        default="replacement",
        description="whether the samples of a batch are drawn independently, or every node goes through its own in a shuffled "
        "order, without replacement",
    )
    augment: Annotated[tuple[SerializeAsAny[AugmentationSection], ...], Strict(strict=False)] = Field(
        default=(),
        description="what changes samples at random in training, in this order: names, or tables of a kind and its keys; your "
        "own functions (key, x) -> x of one sample as 'file.py:function'",
    )
    compute_dtype: Literal["bfloat16", "float16"] | None = Field(
        default=None,
        description="type in which the model's functions are computed, if not that of models; losses keep theirs",
    )
    nodes_at_a_time: Whole = Field(
        default=0,
        ge=0,
        description="nodes whose gradients are computed at a time; 0: as many as suit the device's memory and caches",
    )
    private: Annotated[tuple[str, ...], Strict(strict=False)] = Field(
        default=(), description="names of the model's top-level parameters that stay on their node"
    )
